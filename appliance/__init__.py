"""The scanner: pulls jobs, fetches credentials, logs in, reports evidence. Owns the contract."""
