"""Every model behind one chat(): transformers, vLLM, an OpenAI-compatible API."""
