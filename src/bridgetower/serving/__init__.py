"""A JSON API and a web page over pipelines."""
