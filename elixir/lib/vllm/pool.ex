defmodule Vllm.Pool do
  @moduledoc """
  Several workers behind one name.

      children = [
        {Vllm.Pool,
         name: MyApp.Vllm,
         members: [
           [connect: "tls://gpu-1:5000", engines: [chat: [model: "Qwen/Qwen3-8B"]]],
           [connect: "tls://gpu-2:5000", engines: [chat: [model: "Qwen/Qwen3-8B"]]]
         ]}
      ]

      {:ok, answer} = Vllm.chat({MyApp.Vllm, :chat}, "What is the capital of France?", max_tokens: 64)

  A pool's name stands where the name of an instance does: `{pool, engine}` for a declared engine, and
  `Vllm.engine/3`. Each request goes to the member with the least load that has the engine ready.

  ## Options

  #{Vllm.Core.Pool.options_docs()}
  An instance joins a pool from any connected node with its own option, `{Vllm, name: …, pool: MyApp.Vllm}`.
  Each node that makes requests has the pool in its supervision tree, if need be without `:members`.

  ## Which member

  The worker of each member sends its load with what it sends anyway, ten times a second at most while
  it has something to do. A request goes to the member with the lowest `4 * waiting + running`, as in
  vLLM's own balancer, where what this node has sent since the last report counts as running.

  With `rpc: [affinity: key]` requests with the same key, any term but `nil`, go to the same member,
  whose prefix cache has their beginning: the id of a conversation, or what starts the prompt. All nodes
  choose the same one. It is passed over while it has more than half as much again to do as the
  mean of the members, and 8 requests on top.

  An engine that hangs (see *Engines that hang* in `Vllm`) is chosen if there is no other. A member that
  is stopping gets no new requests.

  ## Requests that move

  A request that a member has not accepted goes to another one, at most once to each: when the member
  is stopping, has no place (`:overloaded`), or is lost. `generate` and `stream_chat` are accepted when they return
  a stream; a request that returns one value, such as `Vllm.chat/3` or `Vllm.embed/3`, when the value is
  there. What was accepted ends as it does without a pool, such as with `:worker_down`.

  A worker that was lost may have begun with a request, so such a request is sent to three members at
  most. One whose prompt is an enumerable is not sent again when elements of it have been taken.
  `[:vllm, :pool, :moved]` in `Vllm.Telemetry` tells of each move.

  ## Other calls

  Through a pool's name there are requests alone: `generate`, `encode`, `add_request`, and those of `Vllm.Chat` and
  `Vllm.Pooling`. Others, such as `Vllm.AsyncLLM.sleep/1` or `Vllm.AsyncLLM.add_lora/2`, are `:invalid`, because
  they are meant for one engine or for each: see `pick/3` and `each/3`.
  """

  alias Vllm.{Error, Ref}
  alias Vllm.Core.{Options, Pool, RedactedServer}
  alias Vllm.Core.Pool.{Lookup, Requests}

  @typedoc """
  A member and one of its engines. `state` is `:ready`, `:stalled`, `:draining`, `:building`,
  `:starting` (the pool starts the instance), `{:failed, error}`, or `:absent` for a listed instance that is not
  there. `engine` is `nil` for a member without declared engines. `sent` is how many requests this node has
  sent since the load was reported. What is not known is `nil`.
  """
  @type member :: %{
          instance: {atom(), node()},
          engine: atom(),
          ref: Ref.t() | nil,
          state: atom() | {:failed, Error.t()},
          running: non_neg_integer() | nil,
          waiting: non_neg_integer() | nil,
          sent: integer() | nil,
          kv_cache_usage: float() | nil
        }

  @pick [
    {:affinity, :term, nil,
     "a key, any term but `nil`: the same one for the same key, see *Which member*."},
    {:timeout, :timeout, 60_000,
     "how many milliseconds to wait while no member has the engine ready and one is building it."}
  ]

  @doc "A child for a supervision tree; see the options above."
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    Options.check!(:keyword_list, options, "the options of Vllm.Pool")

    RedactedServer.child(%{
      id: Keyword.get(options, :name, __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      type: :supervisor
    })
  end

  @doc """
  Starts a pool. It returns before its own instances serve; a request waits for them. An instance that
  does not start, or ends, is started again after a pause, and the other members go on.
  """
  @spec start_link(keyword()) :: Supervisor.on_start() | {:error, Error.t()}
  defdelegate start_link(options), to: Pool

  @doc """
  Chooses a member for an engine and returns the reference of its engine there, for calls that have to
  go to the same one.

      {:ok, engine} = Vllm.Pool.pick(MyApp.Vllm, :chat, affinity: "user-7")
      {:ok, tokenizer} = Vllm.AsyncLLM.get_tokenizer(engine)

  #{Options.docs(@pick)}
  ## Errors

    * `:not_found` - no member has an engine of this name, or there is no such pool on this node
    * `:timeout` - the engine is still being built
    * `:worker_down` - no member runs
    * `:draining` - all members with this engine are stopping
    * the error of an engine that did not start, if no member has it otherwise
  """
  @spec pick(atom(), atom(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def pick(pool, engine, opts \\ []) do
    with {:ok, opts} <- Options.validate(@pick, opts, "the options of Vllm.Pool.pick/3"),
         :ok <- check(pool, engine),
         do: Lookup.pick(pool, engine, Requests.affinity(opts.affinity), opts.timeout)
  end

  @doc """
  Calls a function with the engine of each member that has it ready, one after the other in this
  process, and returns what it returned for each.

      {:ok, [{{MyApp.A, _node}, {:ok, true}}, {{MyApp.B, _}, {:ok, true}}]} =
        Vllm.Pool.each(MyApp.Vllm, :chat, &Vllm.AsyncLLM.add_lora(&1, lora))

  A member that comes later has none of it. The errors are those of `pick/3`.
  """
  @spec each(atom(), atom(), (Ref.t() -> result)) ::
          {:ok, [{{atom(), node()}, result}]} | {:error, Error.t()}
        when result: term()
  def each(pool, engine, fun) when is_function(fun, 1) do
    # Waits for the first one as a request does.
    with {:ok, _one} <- pick(pool, engine) do
      members = Enum.sort_by(Lookup.members(pool, engine), & &1.instance)
      {:ok, for(member <- members, do: {member.instance, fun.(member.ref)})}
    end
  end

  def each(_pool, _engine, _other),
    do: {:error, Error.new(:invalid, "fun must be a function of one argument, an engine")}

  @doc """
  Lists the members as this node knows them, a map for each engine of each.

      {:ok, [%{instance: {MyApp.A, _node}, engine: :chat, state: :ready, running: 3}]} =
        Vllm.Pool.members(MyApp.Vllm)
  """
  @spec members(atom()) :: {:ok, [member()]} | {:error, Error.t()}
  def members(pool), do: with(:ok <- check(pool), do: Lookup.known(pool))

  defp check(pool, engine),
    do: with(:ok <- Options.check(:atom, engine, "the name of an engine"), do: check(pool))

  defp check(pool) do
    with :ok <- Options.check(:instance, pool, "a pool"),
         do: if(Lookup.pool?(pool), do: :ok, else: {:error, no_pool(pool)})
  end

  defp no_pool(pool) do
    Error.new(
      :not_found,
      "there is no pool #{inspect(pool)} on this node; put {Vllm.Pool, name: #{inspect(pool)}} into its " <>
        "supervision tree"
    )
  end
end
