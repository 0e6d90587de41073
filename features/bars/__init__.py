"""Kind "bars": features of one-interval bars with taker flow."""
