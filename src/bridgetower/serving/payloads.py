"""What the API reads and returns; the OpenAPI page is made of it."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["Answer", "Answers", "AskRequest", "ClassifyRequest", "ExplainRequest", "FillRequest", "Health",
           "MatchRequest", "SearchRequest", "SearchResult", "SearchResults"]

_IMAGE = Field(description="The bytes of a picture as base64, or a data: URL.", min_length=1)


class AskRequest(BaseModel):
    """Questions about a picture."""

    image: str = _IMAGE
    questions: list[str] = Field(min_length=1, examples=[["what color is the circle?"]])
    top_k: int = Field(5, ge=1, le=100, description="Answers per question.")


class MatchRequest(BaseModel):
    """Texts that may belong to a picture."""

    image: str = _IMAGE
    texts: list[str] = Field(min_length=1, examples=[["a red circle", "a blue square"]])


class FillRequest(BaseModel):
    """Texts about a picture with `<mask>` in place of a word."""

    image: str = _IMAGE
    texts: list[str] = Field(min_length=1, examples=[["a <mask> circle"]])
    top_k: int = Field(5, ge=1, le=100, description="Words per mask.")


class ClassifyRequest(BaseModel):
    """A picture and either classes as words, or a text whose pair with the picture the model classifies."""

    image: str = _IMAGE
    labels: list[str] = Field([], description="Classes as words.", examples=[["circle", "square"]])
    text: str | None = Field(None, description="For models of entailment and of own classes.")


class ExplainRequest(BaseModel):
    """A picture and the question or sentence about it that is to be explained."""

    image: str = _IMAGE
    text: str = Field(description="With `<mask>` for the head of masked words.", examples=["what color is the circle?"])
    answer: str | None = Field(None, description="What to explain, instead of the model's own answer.")


class SearchRequest(BaseModel):
    """What the pictures should show, a picture that they should resemble, or both."""

    text: str | None = Field(None, examples=["a red circle"])
    image: str | None = Field(None, description="The bytes of a picture as base64, or a data: URL.")
    top_k: int = Field(12, ge=1, le=200, description="Pictures to return.")
    rerank: int = Field(0, ge=0, le=500, description="So many of the nearest are ordered by how well they match.")


class Answer(BaseModel):
    """One result."""

    label: str
    score: float
    text: str | None = Field(default=None, description="Of a filled mask: the text with the word.")


class Answers(BaseModel):
    """For each text of the request, its results, best first; of a text with several masks, those of the first."""

    results: list[list[Answer]]


class SearchResult(BaseModel):
    """A picture of the index."""

    name: str = Field(description="Of its file.")
    picture: str = Field(description="Where it can be fetched.")
    similarity: float
    score: float | None = None


class SearchResults(BaseModel):
    """Pictures, best first."""

    results: list[SearchResult]


class Health(BaseModel):
    """What the server serves."""

    status: str
    model: str
    tasks: list[str]
    classify_by: str | None = Field(description="What /classify reads with a picture: labels, text, or image alone.")
    indexed_pictures: int
    can_rerank: bool = Field(description="Whether /search takes `rerank`.")
    max_bytes: int = Field(description="Size of the largest request that is read.")
