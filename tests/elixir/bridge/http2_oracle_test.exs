defmodule Vllm.HTTP2OracleTest do
  # The client's HTTP/2 against the Python library h2 as a server, over a socket. A seed decides what
  # the server does; see tests/python/support/http2_peer.py. Both must agree on what was sent.
  use ExUnit.Case, async: true

  alias Vllm.{Cuts, Environment}
  alias Vllm.Core.Wire.HTTP2

  @moduletag :bridge
  @seeds 1..300
  @trailers [{"grpc-status", "0"}, {"grpc-message", "done"}]
  # As h2's error codes are called in cowlib.
  @resets ["internal_error", "refused_stream", "cancel"]

  test "client and server agree on any conversation" do
    {server, path} = start_server()

    ends =
      for seed <- @seeds do
        sent = body(seed)
        outcome = converse(path, seed, sent)
        report = report(server)
        assert_agreement(seed, sent, outcome, report)
        report.ended_by
      end

    # Every kind of end occurred.
    assert Enum.sort(Enum.uniq(ends)) == ["end_stream", "goaway", "reset", "trailers"]
    Port.close(server)
  end

  defp assert_agreement(seed, sent, outcome, report) do
    context = "seed #{seed}: #{inspect(Map.delete(outcome, :body))} against #{inspect(report)}"
    assert report.error == "none", context
    assert report.path == "/seed/#{seed}", context
    assert [{200, headers, false}] = outcome.headers
    assert {"content-type", "application/grpc"} in headers

    assert byte_size(outcome.body) == report.sent, context
    assert hash(outcome.body) == report.sent_hash, context
    assert report.received <= byte_size(sent), context
    assert hash(binary_part(sent, 0, report.received)) == report.received_hash, context

    case report.ended_by do
      "trailers" ->
        assert {:trailers, trailers} = outcome.end
        assert Enum.take(trailers, 2) == @trailers

      "end_stream" ->
        assert outcome.end == :end_stream, context

      "reset" ->
        assert {:reset, reason} = outcome.end
        assert reason in @resets, context

      "goaway" ->
        assert outcome.end == {:goaway, "enhance_your_calm: calm down"}, context
    end

    if report.ended_by in ["trailers", "end_stream"] do
      assert report.received == byte_size(sent), context
      assert report.pings_answered and report.settings_acknowledged, context
    end
  end

  ## The client's side

  defp converse(path, seed, sent) do
    {:ok, socket} = :gen_tcp.connect({:local, path}, 0, [:binary, active: false])
    {preface, http2} = HTTP2.new()
    {id, headers, http2} = HTTP2.open_stream(http2, "/seed/#{seed}", [{"te", "trailers"}])
    :ok = :gen_tcp.send(socket, [<<seed::32>>, preface, headers])

    state = %{
      id: id,
      seed: seed,
      socket: socket,
      pieces: Cuts.random(sent, seed),
      headers: [],
      body: [],
      end: nil
    }

    outcome = state |> send_pieces(http2, 2) |> receive_all()
    :ok = :gen_tcp.close(socket)
    %{headers: outcome.headers, body: IO.iodata_to_binary(outcome.body), end: outcome.end}
  end

  # Sends some of the pieces; the last one ends the request. A seed's body is never empty.
  defp send_pieces(%{pieces: pieces} = state, http2, count) do
    {now, later} = Enum.split(pieces, count)

    http2 =
      now
      |> Enum.with_index(1)
      |> Enum.reduce(http2, fn {piece, n}, http2 ->
        fin = if later == [] and n == length(now), do: :fin, else: :nofin
        {out, http2} = HTTP2.send_data(http2, state.id, piece, fin)
        send_bytes(state.socket, out)
        http2
      end)

    {%{state | pieces: later}, http2}
  end

  defp receive_all({%{end: nil, socket: socket} = state, http2}) do
    # The server may wait for the rest of the request.
    timeout = if state.pieces == [], do: 60_000, else: 0

    case :gen_tcp.recv(socket, 0, timeout) do
      {:ok, bytes} -> bytes |> Cuts.random(state.seed) |> handle_all(state, http2) |> continue()
      {:error, :timeout} when timeout == 0 -> continue({state, http2})
      {:error, reason} -> %{state | end: reason}
    end
  end

  defp receive_all({state, _http2}), do: state

  defp handle_all(pieces, state, http2) do
    Enum.reduce(pieces, {state, http2}, fn piece, {state, http2} ->
      {:ok, events, out, http2} = HTTP2.handle_bytes(http2, piece)
      send_bytes(state.socket, out)
      {Enum.reduce(events, state, &note/2), http2}
    end)
  end

  defp continue({%{end: nil} = state, http2}), do: state |> send_pieces(http2, 1) |> receive_all()
  defp continue({state, _http2}), do: state

  defp note({:headers, id, status, headers, last?}, %{id: id} = state),
    do: %{state | headers: [{status, headers, last?} | state.headers]}

  defp note({:data, id, data, last?}, %{id: id, end: nil} = state),
    do: %{state | body: [state.body, data], end: if(last?, do: :end_stream)}

  defp note({:trailers, id, trailers}, %{id: id, end: nil} = state),
    do: %{state | end: {:trailers, trailers}}

  defp note({:reset, id, reason}, %{id: id, end: nil} = state),
    do: %{state | end: {:reset, reason}}

  defp note({:goaway, reason}, %{end: nil} = state), do: %{state | end: {:goaway, reason}}

  # The server may have ended the conversation.
  defp send_bytes(socket, out) do
    if IO.iodata_length(out) > 0, do: :gen_tcp.send(socket, out)
  end

  defp body(seed) do
    {size, random} = :rand.uniform_s(Enum.at([1, 100, 5_000, 100_000], rem(seed, 4)), seed(seed))
    {body, _random} = :rand.bytes_s(size, random)
    body
  end

  defp seed(seed), do: :rand.seed_s(:exsss, seed)

  defp hash(body), do: :sha256 |> :crypto.hash(body) |> Base.encode16(case: :lower)

  ## The server's side

  defp start_server do
    {:ok, python} = Environment.python()
    path = Path.join(System.tmp_dir!(), "http2-#{System.unique_integer([:positive])}.sock")
    on_exit(fn -> File.rm(path) end)

    port =
      Port.open({:spawn_executable, python}, [
        :binary,
        :exit_status,
        line: 10_000,
        args: ["-m", "tests.python.support.http2_peer", path]
      ])

    assert "ready" == line(port)
    {port, path}
  end

  defp report(port) do
    words =
      [error, path, received, received_hash, sent, sent_hash, ended_by, pings, settings] =
      port |> line() |> String.split(" ")

    assert length(words) == 9

    %{
      error: error,
      path: path,
      received: String.to_integer(received),
      received_hash: received_hash,
      sent: String.to_integer(sent),
      sent_hash: sent_hash,
      ended_by: ended_by,
      pings_answered: pings == "True",
      settings_acknowledged: settings == "True"
    }
  end

  defp line(port) do
    receive do
      {^port, {:data, {:eol, line}}} -> line
      {^port, {:exit_status, status}} -> flunk("the server has ended with status #{status}")
    end
  end
end
