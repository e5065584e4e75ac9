"""The bytes of a connection: HTTP/2, gRPC's messages, and the frames of a session."""
