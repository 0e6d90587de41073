"""One compiled step per architecture: weights in one array, state in another, both float32."""
