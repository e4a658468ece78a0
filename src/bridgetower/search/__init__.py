"""Search over one's own pictures: files of vectors, an index of them, and reranking.

Nothing here imports a model: what makes vectors and scores is handed in.
"""
