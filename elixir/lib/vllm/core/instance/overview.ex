defmodule Vllm.Core.Instance.Overview do
  @moduledoc false
  # Reads what runs on this node, for `Vllm.status/0` and `Vllm.top/1`.
  #
  # The instances are asked at once, and one that does not answer is a line of the table. Tokens per
  # second are the difference of two readings of the tokens that vLLM has counted, so nothing is
  # measured while nobody asks.

  alias Vllm.{Call, Error, Ref, Status}
  alias Vllm.Core.Connection
  alias Vllm.Core.Instance.{Declared, Metrics, Running}

  # Milliseconds for a worker to answer one of the questions, and for an instance to answer all.
  @timeout 5_000
  @patience 3 * @timeout

  # Milliseconds between two readings.
  @between 500

  @doc "The status now. If an engine has requests, it is read twice, half a second apart."
  @spec read() :: Status.t()
  def read do
    first = read_once()

    if Enum.any?(first.instances, fn %{engines: engines} -> Enum.any?(engines, &busy?/1) end) do
      Process.sleep(@between)
      since(read_once(), first)
    else
      since(first, nil)
    end
  end

  @doc "The status now, with the tokens per second since another reading."
  @spec read(Status.t() | nil) :: Status.t()
  def read(earlier), do: since(read_once(), earlier)

  defp busy?(%{running: running, generation_tokens: tokens}),
    do: is_integer(tokens) and is_integer(running) and running > 0

  defp read_once do
    names = Running.names()
    options = [timeout: @patience, on_timeout: :kill_task, max_concurrency: max(length(names), 1)]
    answers = Task.async_stream(names, &instance/1, options)

    instances =
      for {name, answer} <- Enum.zip(names, answers) do
        case answer do
          {:ok, instance} -> instance
          {:exit, _reason} -> failed(name, Error.new(:timeout, "it does not answer"))
        end
      end

    %Status{instances: instances, read_at: System.monotonic_time(:millisecond)}
  end

  defp instance(name) do
    place = {name, node()}

    with {:ok, client} <- Connection.info(place),
         {:ok, declared} <- Declared.statuses(place),
         {:ok, worker} <- ask(place, "status"),
         {:ok, metrics} <- Metrics.read(place, @timeout) do
      %{
        name: name,
        error: nil,
        worker: worker(worker, client),
        engines: engines(worker["engines"], declared, metrics, place, client)
      }
    else
      {:error, error} -> failed(name, error)
    end
  end

  defp ask(place, method),
    do: Call.invoke_class("Worker", method, 0, [place, [rpc: [timeout: @timeout]]])

  defp failed(name, error), do: %{name: name, error: error, worker: nil, engines: []}

  defp worker(worker, client) do
    %{
      pid: worker["pid"],
      vllm_version: worker["vllm_version"],
      uptime_s: worker["uptime_s"],
      max_rss_bytes: worker["max_rss_bytes"],
      calls: client.calls
    }
  end

  # Those that the worker has, in the order of their declaration, and those that are declared and not
  # there.
  defp engines(held, declared, metrics, place, client) do
    names = for {name, {:ready, ref}} <- declared, into: %{}, do: {ref.id, name}
    metrics = Map.new(metrics, &{&1.ref.id, &1})

    there =
      for engine <- held do
        ref = %Ref{
          instance: place,
          incarnation: client.incarnation,
          id: engine["ref"],
          type: engine["type"] || "AsyncLLM"
        }

        engine(engine, names[ref.id], ref, metrics[ref.id])
      end

    missing = for {name, status} <- declared, not match?({:ready, _}, status), do: {name, status}
    order = declared |> Keyword.keys() |> Enum.with_index() |> Map.new()
    all = there ++ Enum.map(missing, &missing/1)
    Enum.sort_by(all, &Map.get(order, &1.name, map_size(order)))
  end

  defp engine(held, name, ref, counted) do
    metrics = (counted && counted.metrics) || %{}

    %{
      name: name,
      ref: ref,
      type: ref.type,
      model: counted && counted.model,
      state: state(held),
      # What vLLM has counted is of its last step. An engine whose requests have all ended makes none.
      running: if(held["unfinished_requests"] == 0, do: 0, else: running(metrics, held)),
      waiting: if(held["unfinished_requests"] == 0, do: 0, else: metrics[:requests_waiting]),
      tokens_per_s: nil,
      generation_tokens: metrics[:generation_tokens],
      kv_cache_usage: metrics[:kv_cache_usage]
    }
  end

  # Requests that have not reached a step are running too, unless vLLM says that they wait.
  defp running(metrics, held) do
    with unfinished when is_integer(unfinished) <- held["unfinished_requests"],
         do: max(unfinished - (metrics[:requests_waiting] || 0), 0)
  end

  defp state(%{"errored" => true}), do: :dead
  defp state(%{"stalled_s" => seconds}) when is_number(seconds), do: {:hangs, seconds}
  defp state(_engine), do: :ready

  defp missing({name, status}) do
    %{
      name: name,
      ref: nil,
      type: "AsyncLLM",
      model: nil,
      state: status,
      running: nil,
      waiting: nil,
      tokens_per_s: nil,
      generation_tokens: nil,
      kv_cache_usage: nil
    }
  end

  ## Tokens per second

  defp since(status, earlier) do
    tokens = tokens(earlier)
    seconds = earlier && (status.read_at - earlier.read_at) / 1000

    instances =
      for instance <- status.instances do
        engines = for engine <- instance.engines, do: rated(engine, tokens, seconds)
        %{instance | engines: engines}
      end

    %{status | instances: instances}
  end

  defp tokens(nil), do: %{}

  defp tokens(%Status{instances: instances}) do
    for %{engines: engines} <- instances, %{ref: %Ref{} = ref} = engine <- engines, into: %{} do
      {{ref.incarnation, ref.id}, engine.generation_tokens}
    end
  end

  defp rated(%{ref: %Ref{} = ref, generation_tokens: now} = engine, tokens, seconds)
       when is_integer(now) do
    key = {ref.incarnation, ref.id}

    case tokens do
      %{^key => before} when is_integer(before) and seconds > 0 ->
        %{engine | tokens_per_s: max(now - before, 0) / seconds}

      # Nothing ran, so there is no second reading.
      %{} ->
        %{engine | tokens_per_s: if(engine.running == 0, do: 0.0)}
    end
  end

  defp rated(engine, _tokens, _seconds), do: engine
end
