"""What Spaniel's neural plugins share; it offers no component of its own.

The rooms, each imported where it is used: ``config`` (options of a model), ``locating`` and ``files`` (where a model is and
what identifies it; no torch), ``loading``, ``batching``, ``pooling``, ``capture``, ``architectures``, ``hidden``,
``counting``, ``taps`` and ``tapping`` (what spaces of models show to proxies), ``blocks``, ``probing``, ``testing``.
"""
