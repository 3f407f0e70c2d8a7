"""The generation stage: what is to be rendered, rendered, stored."""
