"""A server that offers a language model by the protocol of OpenAI."""
