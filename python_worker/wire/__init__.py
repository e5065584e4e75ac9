"""The bytes of a session's connection, as values: no sockets, no tasks, no vLLM.

- ``http2``: the server side of an HTTP/2 connection that carries one request
- ``http2_frames``: HTTP/2's numbers, the head of a frame, and the error that ends a connection
- ``flow_control``: the data of the response, sent as far as the client's windows allow
- ``grpc_messages``: gRPC's messages in the body of the request, and its headers and trailers
- ``client_frames``: reads a ClientFrame without copying its large arguments
- ``server_frames``: writes a ServerFrame from replies that are serialized already
- ``limits``: the largest message and value
"""
