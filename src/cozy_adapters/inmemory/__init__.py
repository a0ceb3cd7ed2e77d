"""Every port inside this process: for embedding, for tests, and where one process is all there is. Needs only the domain."""
