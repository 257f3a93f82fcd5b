"""How a store gets to the present schema; applied when it is opened."""
