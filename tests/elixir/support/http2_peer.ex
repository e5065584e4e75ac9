defmodule Vllm.HTTP2Peer do
  @moduledoc false
  # The server's side of an HTTP/2 connection, as a value, by cowlib: what the client's tests talk
  # to. It answers each request with the headers of a gRPC response.

  @max_frame 1024 * 1024

  defstruct [:machine, buffer: "", preface?: false]

  @options %{
    max_frame_size_received: @max_frame,
    preface_timeout: :infinity,
    settings_timeout: :infinity
  }

  # `options` are cowlib's, such as `initial_stream_window_size`.
  def new(options \\ %{}) do
    {:ok, preface, machine} = :cow_http2_machine.init(:server, Map.merge(@options, options))
    {preface, %__MODULE__{machine: machine}}
  end

  # Returns `{events, bytes to send, peer}`.
  def handle_bytes(%{preface?: false} = peer, bytes) do
    buffer = peer.buffer <> bytes

    case :cow_http2.parse_sequence(buffer) do
      {:ok, rest} -> handle_bytes(%{peer | preface?: true, buffer: ""}, rest)
      :more -> {[], [], %{peer | buffer: buffer}}
    end
  end

  def handle_bytes(peer, bytes), do: parse(%{peer | buffer: peer.buffer <> bytes}, [], [])

  def send_data(peer, id, data, fin \\ :nofin) do
    send_part(peer, id, fin, {:data, IO.iodata_to_binary(data)})
  end

  def send_trailers(peer, id, trailers), do: send_part(peer, id, :fin, {:trailers, trailers})

  def open_window(peer, id, more) do
    machine = :cow_http2_machine.update_window(more, peer.machine)
    machine = :cow_http2_machine.update_window(id, more, machine)
    frames = [:cow_http2.window_update(more), :cow_http2.window_update(id, more)]
    {frames, %{peer | machine: machine}}
  end

  defp send_part(peer, id, fin, part) do
    case :cow_http2_machine.send_or_queue_data(id, peer.machine, fin, part) do
      {:ok, machine} ->
        {[], %{peer | machine: machine}}

      {:send, sends, machine} ->
        peer = %{peer | machine: machine}

        Enum.flat_map_reduce(sends, peer, fn {id, fin, parts}, peer ->
          frames(id, fin, parts, peer)
        end)
    end
  end

  defp frames(id, fin, parts, peer) do
    last = List.last(parts)

    Enum.flat_map_reduce(parts, peer, fn
      {:data, data}, peer ->
        {[:cow_http2.data(id, if({:data, data} == last, do: fin, else: :nofin), data)], peer}

      {:trailers, trailers}, peer ->
        {:ok, block, machine} = :cow_http2_machine.prepare_trailers(id, peer.machine, trailers)

        {[:cow_http2.headers(id, :fin, block)], %{peer | machine: machine}}
    end)
  end

  defp parse(peer, events, out) do
    case :cow_http2.parse(peer.buffer, @max_frame) do
      {:ok, frame, rest} -> handle_frame(%{peer | buffer: rest}, frame, events, out)
      {:ignore, rest} -> parse(%{peer | buffer: rest}, events, out)
      :more -> {Enum.reverse(events), Enum.reverse(out), peer}
      other -> raise "the client broke HTTP/2: #{inspect(other)}"
    end
  end

  defp handle_frame(peer, frame, events, out) do
    out =
      case frame do
        {:settings, _} -> [:cow_http2.settings_ack() | out]
        {:ping, opaque} -> [:cow_http2.ping_ack(opaque) | out]
        _other -> out
      end

    case :cow_http2_machine.frame(frame, peer.machine) do
      {:ok, machine} ->
        parse(%{peer | machine: machine}, events, out)

      {:ok, {:headers, id, _fin, headers, pseudo, _length}, machine} ->
        {:ok, :nofin, block, machine} =
          :cow_http2_machine.prepare_headers(id, machine, :nofin, %{status: 200}, [
            {"content-type", "application/grpc"}
          ])

        event = {:headers, id, pseudo, headers}
        out = [:cow_http2.headers(id, :nofin, block) | out]
        parse(%{peer | machine: machine}, [event | events], out)

      {:ok, event, machine} ->
        parse(%{peer | machine: machine}, [event | events], out)

      {:send, sends, machine} ->
        {frames, peer} =
          Enum.flat_map_reduce(sends, %{peer | machine: machine}, fn {id, fin, parts}, peer ->
            frames(id, fin, parts, peer)
          end)

        parse(peer, events, [frames | out])

      {:error, reason, _machine} ->
        raise "the client broke HTTP/2: #{inspect(reason)}"
    end
  end
end
