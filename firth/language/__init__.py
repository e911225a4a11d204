"""A language model of one's own: a transformer that learns to predict the next token, and what is to be seen inside it."""
