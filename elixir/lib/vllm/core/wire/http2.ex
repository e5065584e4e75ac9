defmodule Vllm.Core.Wire.HTTP2 do
  @moduledoc false
  # The client side of one HTTP/2 connection, as a value: bytes in, events and bytes out. It has no
  # process and no socket, so tests can feed it frames cut at any place.
  #
  # cowlib does framing, HPACK, flow control and the rules of RFC 7540. This is the only module that
  # uses it. The functions it calls are the same in cowlib 2.9 (Debian's) to 2.18. cowlib's reasons
  # leave this module only within the message of a Vllm.Error.

  import Vllm.Core.OuterSize

  alias Vllm.Error

  # Bytes. The worker stops sending when the window is used up; half of it is given back at a time.
  # 8 MB let a local worker send several GB/s, and limit what it can send ahead of this process.
  @window 8 * 1024 * 1024

  # The largest frame accepted. The default of 16 kB costs a call of the parser for every 16 kB of a
  # tensor.
  @max_frame 1024 * 1024

  # The type of a DATA frame, and its flag that ends the stream.
  @data 0
  @end_stream 1

  # Data of more bytes is flattened before cowlib splits it into frames, because it computes the size
  # of the remaining iolist for every frame, which is quadratic for a long list.
  @flatten 16 * 1024

  # A list of so many binaries is short enough not to be joined: a tensor and the bytes around it are
  # not copied.
  @few 8

  @machine_options %{
    initial_connection_window_size: @window,
    initial_stream_window_size: @window,
    connection_window_update_threshold: div(@window, 2),
    stream_window_update_threshold: div(@window, 2),
    connection_window_margin_size: 0,
    stream_window_margin_size: 0,
    max_frame_size_received: @max_frame,
    # Data is sent as soon as a window allows a byte. By default cowlib waits for 16 kB of a window that
    # is too small for the data, for ever if the peer's window is never so large.
    stream_window_data_threshold: 0,
    # cowlib's timers would send messages to this process. Vllm.Core.Connection.Handshake has a deadline
    # of its own.
    preface_timeout: :infinity,
    settings_timeout: :infinity
  }

  # buffer: the bytes of an incomplete frame
  # cut: a DATA frame that has been passed on in part: its stream, its end flag, the bytes to come
  defstruct [:machine, buffer: "", cut: nil]

  @opaque t :: %__MODULE__{machine: term(), buffer: binary()}
  @type stream_id :: pos_integer()
  @type event ::
          {:headers, stream_id(), status :: integer(), [{binary(), binary()}], last? :: boolean()}
          | {:data, stream_id(), binary(), last? :: boolean()}
          | {:trailers, stream_id(), [{binary(), binary()}]}
          | {:reset, stream_id(), reason :: String.t()}
          | {:goaway, reason :: String.t()}

  @doc "Makes a connection. Returns the bytes to send first with it."
  @spec new() :: {iodata(), t()}
  def new do
    {:ok, preface, machine} = :cow_http2_machine.init(:client, @machine_options)
    {preface, %__MODULE__{machine: machine}}
  end

  @doc "Opens a stream with a POST to `path`. `send_data/4` sends its body."
  @spec open_stream(t(), binary(), [{binary(), binary()}]) :: {stream_id(), iodata(), t()}
  def open_stream(%__MODULE__{machine: machine} = http2, path, headers) do
    pseudo = %{method: "POST", scheme: "http", authority: "localhost", path: path}
    {:ok, id, machine} = :cow_http2_machine.init_stream("POST", machine)

    {:ok, :nofin, block, machine} =
      :cow_http2_machine.prepare_headers(id, machine, :nofin, pseudo, headers)

    {id, :cow_http2.headers(id, :nofin, block), %{http2 | machine: machine}}
  end

  @doc """
  Returns the bytes to send for `data` on a stream, as much as the peer's flow control allows. The
  rest is kept, and `handle_bytes/2` returns it when the peer has opened its window.
  """
  @spec send_data(t(), stream_id(), iodata(), :fin | :nofin) :: {iodata(), t()}
  def send_data(%__MODULE__{machine: machine} = http2, id, data, fin \\ :nofin) do
    case :cow_http2_machine.send_or_queue_data(id, machine, fin, {:data, flatten(data)}) do
      {:ok, machine} -> {[], %{http2 | machine: machine}}
      {:send, sends, machine} -> {data_frames(sends), %{http2 | machine: machine}}
    end
  end

  @doc "The bytes of a ping. A peer answers it at once; the answer is no event."
  @spec ping() :: iodata()
  def ping, do: :cow_http2.ping(0)

  @doc """
  Handles bytes from the socket.

  Returns the events in order, and the bytes to send in answer. An error ends the connection. It comes
  with the events before it, and with bytes that should still be sent.
  """
  @spec handle_bytes(t(), binary()) ::
          {:ok, [event()], iodata(), t()} | {:error, Error.t(), [event()], iodata()}
  def handle_bytes(%__MODULE__{} = http2, bytes),
    do: parse(%{http2 | buffer: append(http2.buffer, bytes)}, [], [])

  defp append("", bytes), do: bytes
  defp append(buffer, bytes), do: buffer <> bytes

  defp parse(%{buffer: buffer, cut: {id, fin, missing}} = http2, events, out) do
    case buffer do
      <<data::binary-size(outer(missing)), rest::binary>> ->
        handle_frame({:data, id, fin, data}, %{http2 | buffer: rest, cut: nil}, events, out)

      part ->
        pass_on(part, {id, fin, missing}, http2, events, out)
    end
  end

  # cowlib does not get a frame before it is complete: it takes the head of a GOAWAY whose payload is
  # cut off for a GOAWAY on a stream, which is an error, and refuses some frames by a part of their head,
  # so that what bytes mean would depend on where they are cut.
  defp parse(%{buffer: buffer} = http2, events, out) when byte_size(buffer) < 9,
    do: await_more(http2, events, out)

  defp parse(%{buffer: <<length::24, _::48, part::binary>>} = http2, events, out)
       when byte_size(part) < length and length <= @max_frame,
       do: await_more(http2, events, out)

  defp parse(http2, events, out) do
    case parse_frame(http2.buffer) do
      {:ok, frame, rest} ->
        handle_frame(frame, %{http2 | buffer: rest}, events, out)

      {:ignore, rest} ->
        parse(%{http2 | buffer: rest}, events, out)

      {:stream_error, id, reason, human, rest} ->
        reset(%{http2 | buffer: rest}, id, reason, human, events, out)

      {:connection_error, reason, human} ->
        connection_error(http2, reason, human, events, out)

      :more ->
        await_more(http2, events, out)
    end
  end

  # cowlib has no function clauses for frames that RFC 7540 forbids. A peer that sends one must not
  # crash this process.
  @raised [FunctionClauseError, CaseClauseError, MatchError, ErlangError, KeyError]

  defp parse_frame(buffer) do
    :cow_http2.parse(buffer, @max_frame)
  rescue
    exception in @raised -> {:connection_error, :internal_error, Exception.message(exception)}
  end

  defp take_frame(frame, machine) do
    :cow_http2_machine.frame(frame, machine)
  rescue
    exception in @raised ->
      {:error, {:connection_error, :internal_error, Exception.message(exception)}, machine}
  end

  # The bytes of an incomplete DATA frame are passed on as if they were a frame. To wait for the rest
  # would copy a tensor once more, from the socket's binaries into one of the whole frame. Frames with
  # padding, which gRPC does not use, are left to cowlib.
  defp await_more(
         %{buffer: <<length::24, @data, flags, _::1, id::31, part::binary>>} = http2,
         events,
         out
       )
       when flags in [0, @end_stream] and id > 0 do
    fin = if flags == @end_stream, do: :fin, else: :nofin
    pass_on(part, {id, fin, length}, http2, events, out)
  end

  defp await_more(http2, events, out), do: {:ok, Enum.reverse(events), Enum.reverse(out), http2}

  defp pass_on("", cut, http2, events, out),
    do: {:ok, Enum.reverse(events), Enum.reverse(out), %{http2 | buffer: "", cut: cut}}

  defp pass_on(part, {id, fin, missing}, http2, events, out) do
    http2 = %{http2 | buffer: "", cut: {id, fin, missing - byte_size(part)}}
    handle_frame({:data, id, :nofin, part}, http2, events, out)
  end

  defp handle_frame(frame, http2, events, out) do
    out = acknowledge(frame, out)

    case take_frame(frame, http2.machine) do
      {:ok, machine} ->
        parse(%{http2 | machine: machine}, events, out)

      {:ok, event, machine} ->
        {machine, out} = open_windows(event, machine, out)
        parse(%{http2 | machine: machine}, add_event(event, events), out)

      {:send, sends, machine} ->
        parse(%{http2 | machine: machine}, events, [data_frames(sends) | out])

      {:error, {:stream_error, id, reason, human}, machine} ->
        reset(%{http2 | machine: machine}, id, reason, human, events, out)

      {:error, {:connection_error, reason, human}, machine} ->
        connection_error(%{http2 | machine: machine}, reason, human, events, out)
    end
  end

  defp acknowledge({:settings, _settings}, out), do: [:cow_http2.settings_ack() | out]
  defp acknowledge({:ping, opaque}, out), do: [:cow_http2.ping_ack(opaque) | out]
  defp acknowledge(_frame, out), do: out

  defp open_windows({:data, id, fin, _data}, machine, out) do
    {machine, out} =
      case :cow_http2_machine.ensure_window(@window, machine) do
        :ok -> {machine, out}
        {:ok, more, machine} -> {machine, [:cow_http2.window_update(more) | out]}
      end

    # A stream that has ended needs no window.
    case fin == :nofin and :cow_http2_machine.ensure_window(id, @window, machine) do
      {:ok, more, machine} -> {machine, [:cow_http2.window_update(id, more) | out]}
      _enough -> {machine, out}
    end
  end

  defp open_windows(_event, machine, out), do: {machine, out}

  defp add_event({:headers, id, fin, headers, pseudo, _length}, events),
    do: [{:headers, id, Map.get(pseudo, :status, 0), headers, fin == :fin} | events]

  defp add_event({:data, id, fin, data}, events), do: [{:data, id, data, fin == :fin} | events]
  defp add_event({:trailers, id, headers}, events), do: [{:trailers, id, headers} | events]
  defp add_event({:rst_stream, id, code}, events), do: [{:reset, id, "#{code}"} | events]
  defp add_event({:goaway, _id, code, text}, events), do: [{:goaway, goaway(code, text)} | events]
  # gRPC has no server push.
  defp add_event({:push_promise, _id, _promised, _headers, _pseudo}, events), do: events

  defp goaway(code, ""), do: "#{code}"
  defp goaway(code, text), do: if(String.valid?(text), do: "#{code}: #{text}", else: "#{code}")

  defp reset(http2, id, reason, human, events, out) do
    frame = :cow_http2.rst_stream(id, reason)
    parse(http2, [{:reset, id, "#{reason}: #{human}"} | events], [frame | out])
  end

  defp connection_error(http2, reason, human, events, out) do
    last = :cow_http2_machine.get_last_streamid(http2.machine)
    message = "the worker violated the HTTP/2 protocol: #{human}"
    out = [:cow_http2.goaway(last, reason, "") | out]
    {:error, Error.new(:protocol, message), Enum.reverse(events), Enum.reverse(out)}
  end

  defp data_frames(sends) do
    for {id, fin, parts} <- sends, do: part_frames(id, fin, parts)
  end

  # Only the last part may end the stream.
  defp part_frames(id, fin, [{:data, data}]), do: [:cow_http2.data(id, fin, data)]

  defp part_frames(id, fin, [{:data, data} | parts]),
    do: [:cow_http2.data(id, :nofin, data) | part_frames(id, fin, parts)]

  defp part_frames(_id, _fin, []), do: []

  defp flatten(data) when is_binary(data), do: data

  defp flatten(data) do
    if IO.iodata_length(data) > @flatten,
      do: data |> :erlang.iolist_to_iovec() |> at_most_few(),
      else: data
  end

  defp at_most_few(binaries) when length(binaries) <= @few, do: binaries
  defp at_most_few(binaries), do: IO.iodata_to_binary(binaries)
end
