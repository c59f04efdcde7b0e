"""Texts → vectors by an encoder of the space."""

from __future__ import annotations

from spaniel_dense.encoder import SentenceEncoder

import spaniel_w_pca.family  # noqa: F401 - transformers has to know the family


class NluSentenceEncoder(SentenceEncoder):
    """A sentence encoder whose folder ``spaniel w-pca`` or a training wrote; see :mod:`spaniel_w_pca.folder`."""
