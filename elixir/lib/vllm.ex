defmodule Vllm do
  @readme Path.expand("../../README.md", __DIR__)

  # The part of the README between its markers is this documentation, so they cannot drift apart.
  readme =
    with {:ok, text} <- File.read(@readme),
         [_, documentation, _] <- String.split(text, "<!-- MDOC !-->") do
      documentation
    else
      _missing -> "vLLM's `AsyncLLM` from Elixir."
    end

  if File.exists?(@readme), do: @external_resource(@readme)

  @moduledoc """
  #{readme}

  ## Options of an instance

  #{Vllm.Core.Instance.options_docs()}

  ### Engines that hang

  An engine whose processes live may still make nothing: in a kernel that does not return, or waiting
  for another machine. vLLM's `check_health` says that it is well. Therefore the worker takes the time
  in which requests of an engine are without any output; while it is paused or asleep, while its
  weights are replaced, and while a streamed prompt waits for its next part, that time does not run.
  The option `:watchdog` holds

  #{Vllm.Core.Instance.Watchdog.options_docs()}

  An engine that hangs is logged, is told by the event `[:vllm, :engine, :stalled]` and, when it moves
  again, `[:vllm, :engine, :recovered]` (see `Vllm.Telemetry`), has a number in `"stalled_s"` of
  `status/1`, and is `NOT_SERVING` in the worker's `grpc.health.v1` under the id of its reference and
  under `""`. Its calls go on waiting, each to its own timeout. With `action: :replace` they get
  `:worker_down` with the reason at once, as do the calls of all other engines of the worker.

      {Vllm, name: MyApp.Vllm, engines: [llama: [model: "meta-llama/Llama-3.2-1B"]],
             watchdog: [stall_after: 60_000, action: :replace]}
  """

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.{Connection, Instance}
  alias Vllm.Core.Instance.{Engines, Metrics, ReferenceTracker}

  @typedoc "An instance: the name it was started with, on this node or another."
  @type instance :: atom() | {atom(), node()}

  @doc """
  A child for a supervision tree: a Python worker and the connection to it.

      children = [
        {Vllm, name: MyApp.Vllm}
      ]

  See the options above.
  """
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: Keyword.get(options, :name, __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      type: :supervisor
    }
  end

  @doc """
  Starts an instance. Returns when its worker serves, or with a `Vllm.Error` that says why it does
  not and shows the worker's last lines.
  """
  @spec start_link(keyword()) :: Supervisor.on_start() | {:error, Error.t()}
  defdelegate start_link(options), to: Instance

  @doc """
  Calls any public method, or reads any public property, of the object behind a reference.

  The modules named after vLLM's classes have a documented function for every method; this is for
  the objects that have no module.

      {:ok, tokenizer} = Vllm.AsyncLLM.get_tokenizer(engine)
      {:ok, ids} = Vllm.call(tokenizer, "encode", ["Hello"], add_special_tokens: false)

  What Python calls positional is the list, what it calls by name the keyword list; `rpc:` holds
  the options of the bridge, see `Vllm.Call`.
  """
  @spec call(Ref.t(), String.t() | atom(), [term()] | keyword(), keyword()) ::
          {:ok, term()} | {:error, Error.t()}
  def call(ref, method, args \\ [], opts \\ []) do
    Call.invoke(ref, to_string(method), [], args, opts)
  end

  @doc """
  The engine that an instance was told to have under a name.

      children = [
        {Vllm, name: MyApp.Vllm, engines: [llama: [model: "meta-llama/Llama-3.2-1B"]]}
      ]

      {:ok, engine} = Vllm.engine(MyApp.Vllm, :llama)

  Waits up to `timeout` milliseconds while the engine is being built. An engine that has died, or
  whose worker has, is built again, and this function returns the new one: ask before each request
  instead of keeping the answer. It costs less than a microsecond.

  ## Errors

    * `:timeout` - the engine is still being built
    * `:not_found` - none of that name is declared
    * `:worker_down` - the instance is restarting, or does not run
    * `:engine_dead` - it dies again and again; the next try comes after a pause
    * `:draining` - the instance is stopping
    * what `Vllm.AsyncLLM.from_engine_args/2` returned, if the engine did not start
  """
  @spec engine(instance(), atom(), timeout()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def engine(instance \\ Vllm.Default, name, timeout \\ 60_000) when is_atom(name) do
    instance |> located() |> Engines.fetch(name, timeout)
  end

  @doc """
  What a worker says of itself, and under `"client"` what this side knows: how many calls are in
  flight, and the state of each engine that was declared with `engines:`: `:building`,
  `{:ready, ref}` or `{:failed, error}`.

  Without an argument, of the default instance.
  """
  @spec status(instance()) :: {:ok, map()} | {:error, Error.t()}
  def status(instance \\ Vllm.Default) do
    with {:ok, status} <- Call.invoke_class("Worker", "status", 0, [instance]),
         {:ok, client} <- Connection.info(located(instance)),
         {:ok, engines} <- Engines.statuses(located(instance)) do
      {:ok, Map.put(status, "client", Map.put(client, :engines, engines))}
    end
  end

  @doc """
  What vLLM counts of each engine of an instance: requests that run and wait, use of the KV cache,
  tokens, times.

      {:ok, [%{engine: :llama, model: "llama", metrics: metrics}]} = Vllm.metrics(MyApp.Vllm)
      metrics.requests_running
      metrics.generation_tokens

  Each engine is a map with `:engine`, the name it is declared under or `nil`, `:ref`, `:model`,
  the name that its model is served under, and `:metrics`, the numbers that
  `[:vllm, :engine, :metrics]` has in `Vllm.Telemetry`. They are `nil` for an engine that was built
  with `disable_log_stats: true`. What is counted "in all" begins with the engine at 0.

  Without an argument, of the default instance. The option `metrics_interval:` emits the same as
  telemetry events.
  """
  @spec metrics(instance()) :: {:ok, [map()]} | {:error, Error.t()}
  def metrics(instance \\ Vllm.Default), do: instance |> located() |> Metrics.read()

  @doc """
  Lets a reference go, for the calling process. The object is freed in the worker when no other
  process owns the reference. Letting it go twice is harmless; using it afterwards returns an error
  of the kind `:stale_ref`. An engine lives on, and its reference works, until it is shut down.
  """
  @spec release(Ref.t()) :: :ok
  defdelegate release(ref), to: ReferenceTracker

  @doc "Makes `owner` another owner of a reference: the object lives until all of them are gone."
  @spec share(Ref.t(), pid()) :: :ok
  def share(%Ref{} = ref, owner \\ self()) when is_pid(owner),
    do: ReferenceTracker.share(ref, owner)

  defp located({_name, _node} = instance), do: instance
  defp located(name), do: {name, node()}
end
