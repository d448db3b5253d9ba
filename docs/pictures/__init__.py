"""The pictures of the screens, the recorded run that they are of, and what draws them."""
