defmodule Vllm.Core.Test.Control do
  @moduledoc false
  # Controls fake engines through their public methods. What holds for all engines of a worker, its
  # plan, is reached through an engine that is built for this purpose and shut down again.

  alias Vllm.{AsyncLLM, Error, Ref}
  alias Vllm.Core.Options

  # Milliseconds between two polls.
  @interval 5

  @doc "Calls a method of a fake engine. Raises its error."
  @spec call(Ref.t(), String.t(), [term()], keyword()) :: term()
  def call(engine, method, args \\ [], opts \\ []) do
    unwrap(Vllm.call(engine, method, args, opts))
  end

  @doc "As `call/4`, for a method that returns nothing."
  @spec run(Ref.t(), String.t(), [term()], keyword()) :: :ok
  def run(engine, method, args \\ [], opts \\ []) do
    call(engine, method, args, opts)
    :ok
  end

  @doc "Builds an engine."
  @spec build(atom(), keyword()) :: Ref.t()
  def build(worker, engine_args) do
    # Anything else would be taken for an argument, and start the default instance.
    Options.check!(:instance, worker, "a worker")
    unwrap(AsyncLLM.from_engine_args(worker, engine_args))
  end

  @doc "Scripts an engine, or every engine of a worker."
  @spec script(Ref.t() | atom(), map()) :: :ok
  def script(%Ref{} = engine, script) do
    named = for key <- [:prompt, :pattern, :times], do: {key, script["#{key}"]}

    run(
      engine,
      "script",
      [script["behaviour"]],
      for({key, value} <- named, value, do: {key, value})
    )
  end

  def script(worker, script), do: plan(worker, %{"scripts" => [script]})

  @doc "Sets the fault of a method, of an engine or of every engine of a worker."
  @spec inject(Ref.t() | atom(), map()) :: :ok
  def inject(%Ref{} = engine, %{"method" => method, "injection" => injection}) do
    run(engine, "inject", [method, injection])
  end

  def inject(worker, injection), do: plan(worker, %{"injections" => [injection]})

  @doc "Adds to the plan of a worker."
  @spec plan(atom(), map()) :: :ok
  def plan(worker, plan) do
    control = build(worker, model: "fake", additional_config: %{"fake" => %{"control" => true}})

    try do
      run(control, "plan", [plan])
    after
      AsyncLLM.shutdown(control)
    end
  end

  @doc "The engines of a worker, and whether they are dead."
  @spec engines(atom()) :: {:ok, [{Ref.t(), boolean()}]} | {:error, Error.t()}
  def engines(worker) do
    with {:ok, status} <- Vllm.status(worker) do
      {:ok,
       for %{"ref" => id, "type" => "AsyncLLM", "errored" => dead?} <- status["engines"],
           engine = %Ref{
             instance: {worker, node()},
             incarnation: status["incarnation"],
             id: id,
             type: "AsyncLLM"
           },
           # Without the engines that `plan/2` builds.
           Vllm.call(engine, "is_control") == {:ok, false} do
         {engine, dead?}
       end}
    end
  end

  @doc "Calls a method that waits. Returns whether it returned in time and the engine is alive."
  @spec await(Ref.t(), String.t(), [term()], integer()) :: boolean()
  def await(engine, method, args, timeout) do
    case Vllm.call(engine, method, args, rpc: [timeout: max(timeout, 0)]) do
      {:ok, _nothing} -> true
      {:error, %Error{kind: kind}} when kind in [:timeout, :engine_dead] -> false
      {:error, error} -> raise error
    end
  end

  @doc "Calls `ask` until it returns something other than `nil`, or the time is over."
  @spec poll((() -> answer | nil), timeout(), integer()) :: answer | nil when answer: term()
  def poll(ask, timeout, started \\ now()) do
    with nil <- ask.() do
      if now() - started < timeout do
        receive do
        after
          @interval -> poll(ask, timeout, started)
        end
      end
    end
  end

  @doc "Fails the test. Without ExUnit it raises a `RuntimeError`."
  @spec flunk(String.t()) :: no_return()
  def flunk(message) do
    assertion = ex_unit(:AssertionError)
    exception = if Code.ensure_loaded?(assertion), do: assertion, else: RuntimeError
    raise exception, message: message
  end

  @doc "A module of ExUnit, by its name: ExUnit may not be available where this is compiled."
  @spec ex_unit(atom()) :: module()
  def ex_unit(part), do: Module.concat(ExUnit, part)

  @doc "The time in milliseconds."
  @spec now() :: integer()
  def now, do: System.monotonic_time(:millisecond)

  @doc "Returns the value of a call, or raises its error."
  @spec unwrap({:ok, value} | {:error, Error.t()}) :: value when value: term()
  def unwrap({:ok, value}), do: value
  def unwrap({:error, error}), do: raise(error)
end
