"""The kinds of models that come with the distribution."""
