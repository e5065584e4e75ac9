"""Clients: where they connect, their sessions and their calls.

====================  ==========================================================================
``addresses``         the addresses of a worker, and the sockets of the sessions' listener
``listeners``         opens, names and closes both kinds of listeners
``preface``           a new connection at the sessions' listener: HTTP/2, or refused
``session_protocol``  one connection of the sessions' listener: bytes to frames and back
``grpc_server``       gRPC's server: binds its own listeners, and is replaced when it breaks
``grpc_service``      the methods that it serves: ``Session``, ``Call`` and ``Stream``
``grpc_replies``      what receives the replies of the latter two
``health``            what ``grpc.health.v1`` answers
``sessions``          all clients with a session, whichever listener they use
``session``           one client: its calls, and their replies gathered into frames
``resumption``        references of sessions that were lost, kept for the client's return
====================  ==========================================================================
"""
