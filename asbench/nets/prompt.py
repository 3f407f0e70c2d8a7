"""What a latent diffusion model is told: sentences with learned vectors in a word's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

SLOT = "*"
TEMPLATES = (
    "a photo of a *",
    "a photo of the *",
    "a close-up photo of a *",
    "a cropped photo of the *",
    "a bright photo of a *",
    "a dark photo of the *",
    "a good photo of a *",
    "a photo of one *",
    "a photo of a clean *",
    "a rendition of a *",
)
"""Sentences in the manner of CLIP's for ImageNet; the first one renders."""


class TextPrompt(nn.Module):
    """Sentences of a text encoder, frozen: the latent diffusion model's own BERT.

    tokenizer: of WordPiece, with [CLS] in front and [SEP] behind; sentences are padded to the
    encoder's length, and the padding is attended to as the model was trained.
    """

    def __init__(self, encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.length = int(encoder.config.max_position_embeddings)
        self.dim = int(encoder.config.d_model)
        self.templates = len(TEMPLATES)
        self.slot = int(tokenizer.convert_tokens_to_ids(SLOT))

    def word(self, text: str) -> Tensor:
        """Return a word's embedding, float (dim,): the mean of its pieces."""
        pieces = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._embed(pieces).mean(dim=0)

    def empty(self, count: int) -> Tensor:
        """Return what the empty sentence says: float (count, length, dim)."""
        return self._encode(self._embed(self._tokens(""))[None]).expand(count, -1, -1)

    def forward(self, vectors: Tensor, templates: Sequence[int]) -> Tensor:
        """Return what sentences say: float (N, length, dim).

        vectors: float (N, k, dim), of each sentence, in the place of its slot; what stands behind
        moves on, and what does not fit is cut off. templates: which sentence, N of them.
        """
        spliced = []
        for inserted, template in zip(vectors, templates, strict=True):
            tokens = self._tokens(TEMPLATES[template])
            at, embedded = tokens.index(self.slot), self._embed(tokens)
            parts = (embedded[:at], inserted.to(embedded), embedded[at + 1 :])
            spliced.append(torch.cat(parts)[: self.length])
        return self._encode(torch.stack(spliced))

    def columns(self, count: int) -> list[int]:
        """Return where `count` vectors stand in the first sentence."""
        at = self._tokens(TEMPLATES[0]).index(self.slot)
        return list(range(at, min(at + count, self.length)))

    def _tokens(self, text: str) -> list[int]:
        ids = self.tokenizer(text, padding="max_length", truncation=True, max_length=self.length)[
            "input_ids"
        ]
        return [int(token) for token in ids]

    def _embed(self, tokens: Sequence[int]) -> Tensor:
        table = self.encoder.model.embed_tokens
        embedded: Tensor = table(torch.tensor(tokens, device=table.weight.device))
        return embedded

    def _encode(self, embedded: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(inputs_embeds=embedded, return_dict=True).last_hidden_state
        return hidden


class SlotPrompt(nn.Module):
    """A vocabulary of a few words, learned with the U-Net: no sentence, no encoder.

    A start, the vectors, and blanks up to `length`, to which the places' own vectors are added:
    without these, vectors that begin alike would stay alike.
    """

    templates = 1

    def __init__(self, vocabulary: Sequence[str], dim: int, slots: int) -> None:
        super().__init__()
        self.dim, self.length = dim, slots + 1
        self.vocabulary = {word: place for place, word in enumerate(vocabulary)}
        self.table = nn.Parameter(torch.randn(len(vocabulary), dim))
        self.start = nn.Parameter(torch.randn(1, dim))
        self.blank = nn.Parameter(torch.randn(1, dim))
        self.places = nn.Parameter(torch.randn(self.length, dim) * 0.3)

    def word(self, text: str) -> Tensor:
        """Return a word's embedding, float (dim,)."""
        return self.table[self.vocabulary[text]]

    def empty(self, count: int) -> Tensor:
        """Return what blanks say: float (count, length, dim)."""
        said: Tensor = self(self.blank.expand(count, 1, -1), [0] * count)
        return said

    def forward(self, vectors: Tensor, templates: Sequence[int]) -> Tensor:
        """Return what vectors, float (N, k, dim), say: float (N, length, dim)."""
        count, given, _ = vectors.shape
        start = self.start.expand(count, 1, -1)
        rest = self.blank.expand(count, self.length - 1 - given, -1)
        return torch.cat((start, vectors, rest), dim=1) + self.places

    def columns(self, count: int) -> list[int]:
        """Return where `count` vectors stand."""
        return list(range(1, count + 1))


Prompt = TextPrompt | SlotPrompt
