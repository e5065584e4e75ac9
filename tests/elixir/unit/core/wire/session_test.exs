defmodule Vllm.Core.Wire.SessionTest do
  # What a session makes of the events of HTTP/2: frames, its end, and what it has to ignore.
  use ExUnit.Case, async: true

  alias Vllm.{Error, HTTP2Peer}
  alias Vllm.Core.Wire.{GRPC, Session}
  alias Vllm.Proto.{ClientHello, Draining, Failure, Notice, ServerFrame, ServerHello}

  @other_stream 3

  setup do
    {preface, session} = Session.open(%ClientHello{token: "the token"})
    {peer_preface, peer} = HTTP2Peer.new()
    {[], nil, acknowledgement, session} = handle(session, peer_preface)

    {events, answer, peer} = HTTP2Peer.handle_bytes(peer, binary([preface, acknowledgement]))
    assert [{:headers, id, _pseudo, _headers}, {:data, id, :nofin, _hello} | _settings] = events
    {[], nil, _out, session} = handle(session, answer)
    %{session: session, peer: peer, id: id}
  end

  test "frames are read wherever they are between events that are not its own", context do
    %{session: session, peer: peer, id: id} = context
    {data, _peer} = HTTP2Peer.send_data(peer, id, Enum.map([1, 2], &message/1))

    others = [
      :cow_http2.ping(7),
      :cow_http2.settings(%{initial_window_size: 70_000}),
      :cow_http2.window_update(1_000),
      # A frame of a type that HTTP/2 does not define: RFC 9113 has every peer ignore it.
      <<3::24, 0xFA, 0, 0::32, "new">>
    ]

    for other <- others, bytes <- [[other, data], [data, other]] do
      assert {[%{notices: [first]}, %{notices: [second]}], nil, _out, %Session{}} =
               handle(session, bytes)

      assert {first.event, second.event} ==
               {{:draining, %Draining{grace_ms: 1}}, {:draining, %Draining{grace_ms: 2}}}
    end
  end

  test "a GOAWAY is remembered, and the session goes on", %{session: session, peer: peer, id: id} do
    assert session.goaway == nil
    goaway = :cow_http2.goaway(id, :no_error, "stopping")
    assert {[], nil, _out, session} = handle(session, goaway)
    assert session.goaway == "no_error: stopping"

    {data, _peer} = HTTP2Peer.send_data(peer, id, message(5))

    assert {[%{notices: [%{event: {:draining, %{grace_ms: 5}}}]}], nil, _out, session} =
             handle(session, data)

    assert session.goaway == "no_error: stopping"
  end

  test "a GOAWAY in the same bytes as frames loses none of them", context do
    %{session: session, peer: peer, id: id} = context
    {data, _peer} = HTTP2Peer.send_data(peer, id, message(5))

    for bytes <- [
          [:cow_http2.goaway(id, :enhance_your_calm, ""), data],
          [data, :cow_http2.goaway(id, :enhance_your_calm, "")]
        ] do
      assert {[%{notices: [_draining]}], nil, _out, session} = handle(session, bytes)
      assert session.goaway == "enhance_your_calm"
    end
  end

  test "the end of another stream is not the session's", %{session: session} do
    # cowlib answers for a stream that was never opened, and the session with it.
    assert {[], %Error{kind: :protocol} = error, out, _session} =
             handle(session, :cow_http2.rst_stream(@other_stream, :cancel))

    assert error.message =~ "HTTP/2"
    assert IO.iodata_length(out) > 0
  end

  test "a reset is its end, with the reason", %{session: session, id: id} do
    for {code, kind} <- [
          internal_error: :worker_down,
          cancel: :worker_down,
          refused_stream: :worker_down
        ] do
      assert {[], %Error{kind: ^kind} = error, _out, _session} =
               handle(session, :cow_http2.rst_stream(id, code))

      assert error.message == "the worker reset the session: #{code}"
    end
  end

  test "frames before its end are delivered with it", %{session: session, peer: peer, id: id} do
    {data, peer} = HTTP2Peer.send_data(peer, id, message(5))

    {trailers, _peer} =
      HTTP2Peer.send_trailers(peer, id, [{"grpc-status", "14"}, {"grpc-message", "bye"}])

    for {last, message} <- [
          {trailers, "the worker ended the session: bye"},
          {:cow_http2.rst_stream(id, :cancel), "the worker reset the session: cancel"}
        ] do
      assert {[%ServerFrame{}], %Error{kind: :worker_down, message: ^message}, _out, _session} =
               handle(session, [data, last])
    end
  end

  test "frames before bytes that break HTTP/2 are delivered too", context do
    %{session: session, peer: peer, id: id} = context
    {data, _peer} = HTTP2Peer.send_data(peer, id, message(5))
    # A ping has eight bytes.
    broken = <<1::24, 6, 0, 0::32, 0>>

    assert {[%ServerFrame{}], %Error{kind: :protocol} = error, out, _session} =
             handle(session, [data, broken])

    assert error.message =~ "HTTP/2"
    assert IO.iodata_length(out) > 0
  end

  test "what follows its end is not read", %{session: session, peer: peer, id: id} do
    {trailers, _peer} = HTTP2Peer.send_trailers(peer, id, [{"grpc-status", "0"}])
    bytes = [trailers, :cow_http2.goaway(id, :internal_error, "")]
    assert {[], %Error{kind: :worker_down} = error, _out, _session} = handle(session, bytes)
    assert error.message == "the worker ended the session"
  end

  test "a message that gRPC does not allow is its end, after the frames before it", context do
    %{session: session, peer: peer, id: id} = context

    for {bad, text} <- [
          {<<1, 5::32, "hello">>, "compression flag 1"},
          {<<0, 0xFFFFFFFF::32>>, "announced a message of 4294967295 bytes"}
        ] do
      {data, _peer} = HTTP2Peer.send_data(peer, id, [message(5), message(6), bad])

      assert {[_five, _six], %Error{kind: :protocol} = error, _out, _session} =
               handle(session, data)

      assert error.message =~ text
    end
  end

  test "a frame that is no protobuf is its end, after the frames before it", context do
    %{session: session, peer: peer, id: id} = context
    {data, _peer} = HTTP2Peer.send_data(peer, id, [message(5), GRPC.frame(<<255, 255, 255>>)])

    assert {[%ServerFrame{}], %Error{kind: :protocol} = error, _out, _session} =
             handle(session, data)

    assert error.message =~ "cannot be decoded"
  end

  test "the corpus of fuzzing means the same wherever it is cut" do
    for bytes <- Vllm.Fuzzed.corpus(:client), do: assert(Vllm.Fuzzed.session(bytes) == :ok)
  end

  describe "check_hello/1" do
    test "takes a hello of this protocol" do
      hello = %ServerHello{protocol_version: 1, incarnation: "i"}
      assert Session.check_hello(%ServerFrame{hello: hello}) == {:ok, hello}
    end

    test "refuses another version with both, and a frame that is none" do
      hello = %ServerHello{protocol_version: 2, worker_version: "9.8"}

      assert {:error, %Error{kind: :protocol} = error} =
               Session.check_hello(%ServerFrame{hello: hello})

      assert error.details == %{"worker" => 2, "client" => 1}
      assert error.message =~ "python_worker 9.8"
      assert {:error, %Error{kind: :protocol} = error} = Session.check_hello(%ServerFrame{})
      assert error.message =~ "not a hello"
    end

    test "says where sessions are, if this address serves gRPC" do
      hello = %ServerHello{protocol_version: 1, session_address: "unix:/run/a%20b"}

      assert {:error, %Error{kind: :protocol} = error} =
               Session.check_hello(%ServerFrame{hello: hello})

      assert error.details == %{"session_address" => "unix:/run/a b"}
    end

    test "is the worker's own refusal, if there is one" do
      failure = %Failure{kind: :unauthenticated, message: "no token"}
      frame = %ServerFrame{failure: failure, hello: %ServerHello{protocol_version: 1}}

      assert {:error, %Error{kind: :unauthenticated, message: "no token"}} =
               Session.check_hello(frame)
    end
  end

  defp handle(session, bytes), do: Session.handle_bytes(session, binary(bytes))

  defp message(grace) do
    notice = %Notice{event: {:draining, %Draining{grace_ms: grace}}}
    %ServerFrame{notices: [notice]} |> ServerFrame.encode() |> GRPC.frame()
  end

  defp binary(iodata), do: IO.iodata_to_binary(iodata)
end
