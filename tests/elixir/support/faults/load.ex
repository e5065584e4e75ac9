defmodule Vllm.Faults.Load do
  @moduledoc false
  # Clients of every kind that make requests of the fake engine one after the other while something
  # goes wrong. Each request has exactly one answer that is right, and ends once: with that answer, or with
  # an error. A client stops at its first error.
  #
  # A load has a name, so that one on another node can be asked by `:peer.call/5`.

  import ExUnit.Assertions

  alias Vllm.{AsyncLLM, Error, Stream}

  @clients [stream_to: 5, enumerated: 4, collected: 3, call: 2, large: 1, streamed_prompt: 1]
  @tokens 40
  @delay 0.005
  # The fake engine's first token.
  @first 256

  @large 1_000_000

  @doc "How many requests are in flight."
  def size, do: @clients |> Keyword.values() |> Enum.sum()

  @doc "Starts the clients; returns when each has had its first answer."
  def start(name, engine) do
    caller = self()

    spawn(fn ->
      Process.register(self(), name)
      stop = :atomics.new(1, [])
      for {kind, count} <- @clients, _ <- 1..count, do: spawn_client(kind, engine, stop)
      loop(%{stop: stop, ended: [], answered: MapSet.new(), told: {caller, size()}, mark: nil})
    end)

    receive do: (:answered -> :ok)
  end

  @doc "Something goes wrong now."
  def mark(name), do: ask(name, :mark)

  @doc "Returns when each client has had another answer since the last `mark/1`, or an error."
  def await_round(name), do: ask(name, :await_round)

  @doc "Has the clients end after their present request; see `await/1`."
  def stop(name) do
    :ok = ask(name, :stop)
    await(name)
  end

  @doc """
  Waits until each client has ended, by an error or by `stop/1`. Returns `requests`, how many there were;
  `outcomes`, how many ended with `:ok` or with which kind of error; `messages`, one for each kind;
  `seconds`, from the mark to the last end of a request; `extra`, messages that came behind the last
  one of a request.
  """
  def await(name), do: ask(name, :await)

  defp ask(name, question) do
    pid = Process.whereis(name)
    monitor = Process.monitor(pid)
    send(pid, {question, self(), monitor})

    receive do
      {^monitor, answer} ->
        Process.demonitor(monitor, [:flush])
        answer

      {:DOWN, ^monitor, :process, _pid, reason} ->
        raise "the load has ended: #{inspect(reason)}"
    end
  end

  ## The process that counts

  defp loop(state) do
    receive do
      {:ended, client, outcome} ->
        ended = [{outcome, now()} | state.ended]
        %{state | ended: ended, answered: MapSet.put(state.answered, client)} |> tell() |> loop()

      {:mark, from, ref} ->
        send(from, {ref, :ok})
        loop(%{state | mark: now()})

      # The request that runs may have begun before, so the one behind it counts too.
      {:await_round, from, ref} ->
        %{state | answered: failed(state), told: {from, ref, 2}} |> tell() |> loop()

      {:stop, from, ref} ->
        :atomics.put(state.stop, 1, 1)
        send(from, {ref, :ok})
        loop(state)

      {:await, from, ref} ->
        send(from, {ref, result(state)})
    end
  end

  defp tell(%{told: nil} = state), do: state

  defp tell(%{answered: answered, told: told} = state) do
    cond do
      MapSet.size(answered) < size() -> state
      match?({_from, _ref, 2}, told) -> tell_again(state, told)
      match?({_from, _ref, 1}, told) -> tell_done(state, told)
      true -> tell_started(state, told)
    end
  end

  defp tell_started(state, {caller, _size}) do
    send(caller, :answered)
    %{state | told: nil}
  end

  # Clients that have ended with an error answer no more.
  defp tell_again(state, {from, ref, 2}),
    do: tell(%{state | told: {from, ref, 1}, answered: failed(state)})

  defp tell_done(state, {from, ref, 1}) do
    send(from, {ref, :ok})
    %{state | told: nil}
  end

  defp failed(state) do
    failed = for {{_kind, client, _message}, _at} <- state.ended, do: client
    MapSet.new(failed)
  end

  defp result(state) do
    {:ended, ended, extra} = collect(state.ended, size(), 0)
    outcomes = Enum.frequencies_by(ended, fn {outcome, _at} -> kind(outcome) end)
    messages = for {{kind, _client, message}, _at} <- ended, into: %{}, do: {kind, message}
    last = ended |> Enum.map(&elem(&1, 1)) |> Enum.max()
    seconds = if state.mark, do: max(last - state.mark, 0) / 1000, else: 0.0

    %{
      requests: length(ended),
      outcomes: outcomes,
      messages: messages,
      seconds: seconds,
      extra: extra
    }
  end

  defp collect(ended, 0, extra), do: {:ended, ended, extra}

  defp collect(ended, left, extra) do
    receive do
      {:ended, _client, outcome} -> collect([{outcome, now()} | ended], left, extra)
      {:done, client} -> collect(ended, left - 1, extra + extra_of(client))
    end
  end

  # What came behind the last message of a client's requests. The connection has sent it before it ends.
  defp extra_of(client) do
    send(client, {:leave, self()})
    receive do: ({:left, ^client, count} -> count)
  end

  defp kind(:ok), do: :ok
  defp kind({kind, _client, _message}), do: kind

  ## Clients

  defp spawn_client(kind, engine, stop) do
    counting = self()

    spawn_link(fn ->
      client(kind, engine, stop, counting)
      send(counting, {:done, self()})

      receive do
        {:leave, asking} ->
          {:message_queue_len, count} = Process.info(self(), :message_queue_len)
          send(asking, {:left, self(), count})
      end
    end)
  end

  defp client(kind, engine, stop, counting) do
    case outcome(kind, engine) do
      :ok ->
        send(counting, {:ended, self(), :ok})
        if :atomics.get(stop, 1) == 0, do: client(kind, engine, stop, counting)

      {:error, %Error{} = error} ->
        send(counting, {:ended, self(), {error.kind, self(), Exception.message(error)}})
    end
  end

  defp outcome(kind, engine) do
    case request(kind, engine) do
      {:ok, found, expected} ->
        if found == expected do
          :ok
        else
          shown = inspect(found, limit: 50, printable_limit: 200)
          {:error, Error.new(:protocol, "WRONG ANSWER of #{kind}: #{shown}")}
        end

      {:error, error} ->
        {:error, error}
    end
  end

  defp request(:stream_to, engine) do
    with {:ok, stream} <- generate(engine, :DELTA, stream_to: self()),
         {:ok, ids} <- received(stream, []),
         do: {:ok, ids, expected()}
  end

  defp request(:enumerated, engine) do
    with {:ok, stream} <- generate(engine, :DELTA, []) do
      {:ok, Enum.flat_map(stream, &hd(&1.outputs).token_ids), expected()}
    end
  rescue
    error in Error -> {:error, error}
  end

  defp request(:collected, engine) do
    with {:ok, stream} <- generate(engine, :CUMULATIVE, []),
         {:ok, output} <- Stream.collect(stream),
         do: {:ok, hd(output.outputs).token_ids, expected()}
  end

  defp request(:call, engine) do
    value = %{"a" => [1, 2.5, nil], "b" => String.duplicate("x", 1000)}
    with {:ok, found} <- Vllm.call(engine, "echo_async", [value]), do: {:ok, found, value}
  end

  defp request(:large, engine) do
    value = String.duplicate("0123456789", div(@large, 10))
    with {:ok, found} <- Vllm.call(engine, "echo", [value]), do: {:ok, found, value}
  end

  # Each part of the prompt gets its answer.
  defp request(:streamed_prompt, engine) do
    prompt = Elixir.Stream.map(["a", "b"], & &1)

    with {:ok, stream} <- AsyncLLM.generate(engine, prompt, [max_tokens: 1], request_id()),
         do: {:ok, Enum.map(stream, & &1.prompt), ["a", "b"]}
  rescue
    error in Error -> {:error, error}
  end

  defp generate(engine, output_kind, rpc) do
    fake = %{"delay" => @delay}

    params = [
      max_tokens: @tokens,
      output_kind: output_kind,
      extra_args: %{"fake" => fake}
    ]

    AsyncLLM.generate(engine, "load", params, request_id(), rpc: rpc)
  end

  defp received(stream, ids) do
    receive do
      {:vllm, ^stream, {:item, output}} -> received(stream, [ids, hd(output.outputs).token_ids])
      {:vllm, ^stream, :done} -> {:ok, List.flatten(ids)}
      {:vllm, ^stream, {:error, error}} -> {:error, error}
    end
  end

  defp expected, do: Enum.to_list(@first..(@first + @tokens - 1))

  defp request_id, do: "load-#{System.unique_integer([:positive])}"

  defp now, do: System.monotonic_time(:millisecond)

  @doc "Checks a result: nothing wrong, nothing twice, and only these outcomes."
  def check(result, allowed) do
    assert result.extra == 0
    assert Map.keys(result.outcomes) -- [:ok | allowed] == [], inspect(result)
    result
  end
end
