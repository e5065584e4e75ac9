defmodule Vllm.FakeWorker do
  @moduledoc false
  # A worker without Python: a real server on a real socket, whose frames the test sends.
  #
  # It greets, and then does nothing by itself. Each ClientFrame is sent to the test as
  # `{:client, frame}`; `send_frame/2` and `reply/3` answer, and `answer/3` does so when a call comes.

  alias Vllm.HTTP2Peer
  alias Vllm.Core.Wire.GRPC
  alias Vllm.Proto.{CallReply, ClientFrame, ServerFrame, ServerHello}

  @incarnation String.duplicate("0", 31) <> "1"

  def incarnation, do: @incarnation

  # Options: `:hello`, the first ServerFrame, several that come in one breath, or `nil` for silence;
  # `:transport`, :unix or :tcp; `:http2`, options for the peer.
  def start_link(options \\ []) do
    test = self()
    {listener, address} = listen(Keyword.get(options, :transport, :unix))

    pid =
      spawn_link(fn ->
        receive do
          :go -> serve(listener, test, options)
        end
      end)

    :ok = :gen_tcp.controlling_process(listener, pid)
    send(pid, :go)
    {:ok, %{pid: pid, address: address}}
  end

  # The socket's file, where no client came.
  def cleanup(%{address: "unix:" <> path}), do: File.rm(path)
  def cleanup(%{address: "tcp:" <> _}), do: :ok

  def hello(fields \\ []) do
    hello = %ServerHello{
      protocol_version: 1,
      worker_version: "0.0.1",
      vllm_version: "9.9.9",
      incarnation: @incarnation,
      pid: 1
    }

    %ServerFrame{hello: struct!(hello, fields)}
  end

  def send_frame(fake, %ServerFrame{} = frame), do: command(fake, {:frame, frame})

  def reply(fake, id, outcome) do
    send_frame(fake, %ServerFrame{replies: [call_reply(id, outcome)]})
  end

  # An outcome, or a whole reply where it holds references.
  defp call_reply(id, %CallReply{} = reply), do: %{reply | call: id}
  defp call_reply(id, outcome), do: %CallReply{call: id, outcome: outcome}

  # The replies to a call that has not come yet.
  def answer(fake, id, outcomes), do: command(fake, {:answer, id, List.wrap(outcomes)})

  def send_raw(fake, bytes), do: command(fake, {:raw, bytes})
  def end_session(fake, trailers), do: command(fake, {:trailers, trailers})
  def close(fake), do: command(fake, :close)

  defp command(%{pid: pid}, command) do
    send(pid, command)
    :ok
  end

  defp listen(:unix) do
    path =
      Path.join(System.tmp_dir!(), "fake-#{System.unique_integer([:positive])}-#{System.pid()}")

    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ifaddr: {:local, path}])
    {listener, "unix:" <> path}
  end

  defp listen(:tcp) do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)
    {listener, "tcp:127.0.0.1:#{port}"}
  end

  defp serve(listener, test, options) do
    {:ok, socket} = :gen_tcp.accept(listener)
    {preface, peer} = HTTP2Peer.new(Keyword.get(options, :http2, %{}))
    :ok = :gen_tcp.send(socket, preface)
    :ok = :inet.setopts(socket, active: true)

    loop(%{
      socket: socket,
      peer: peer,
      grpc: %GRPC{},
      stream: nil,
      test: test,
      hello: Keyword.get(options, :hello, hello()),
      answers: %{}
    })
  end

  defp loop(state) do
    receive do
      {:tcp, _socket, bytes} ->
        {events, out, peer} = HTTP2Peer.handle_bytes(state.peer, bytes)
        transmit(state, out)
        events |> Enum.reduce(%{state | peer: peer}, &handle_event/2) |> loop()

      {:tcp_closed, _socket} ->
        send(state.test, :client_closed)

      {:frame, frame} ->
        state |> push(frame) |> loop()

      {:answer, id, outcomes} ->
        loop(put_in(state.answers[id], outcomes))

      {:raw, bytes} ->
        transmit(state, bytes)
        loop(state)

      {:trailers, trailers} ->
        {out, peer} = HTTP2Peer.send_trailers(state.peer, state.stream, trailers)
        transmit(state, out)
        loop(%{state | peer: peer})

      :close ->
        :gen_tcp.close(state.socket)
    end
  end

  defp handle_event({:headers, id, _pseudo, _headers}, state), do: %{state | stream: id}

  defp handle_event({:data, id, _fin, bytes}, state) do
    size = byte_size(bytes)

    {out, peer} =
      if size > 0, do: HTTP2Peer.open_window(state.peer, id, size), else: {[], state.peer}

    transmit(state, out)
    {:ok, messages, grpc} = GRPC.push(state.grpc, bytes)
    Enum.reduce(messages, %{state | peer: peer, grpc: grpc}, &handle_message/2)
  end

  defp handle_event(_other, state), do: state

  defp handle_message(message, state) do
    {:ok, frame} = ClientFrame.decode(message)
    send(state.test, {:client, frame})
    state = if frame.hello && state.hello, do: push(state, state.hello), else: state

    for %{id: id} <- frame.calls, outcome <- Map.get(state.answers, id, []), reduce: state do
      state -> push(state, %ServerFrame{replies: [call_reply(id, outcome)]})
    end
  end

  defp push(state, frames) do
    messages = for frame <- List.wrap(frames), do: frame |> ServerFrame.encode() |> GRPC.frame()
    {out, peer} = HTTP2Peer.send_data(state.peer, state.stream, messages)
    transmit(state, out)
    %{state | peer: peer}
  end

  # The client may have hung up, which the next message will say.
  defp transmit(state, bytes), do: :gen_tcp.send(state.socket, bytes)
end
