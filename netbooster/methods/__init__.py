"""Training methods: what each trains and minimizes, and what it keeps."""
