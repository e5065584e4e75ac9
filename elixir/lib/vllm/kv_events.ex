defmodule Vllm.KVEvents do
  @moduledoc """
  The changes of an engine's KV cache, as vLLM publishes them.

  An application with several engines can send a prompt to the one that has its beginning in the cache. For
  that it has to know what each has stored. The engine is built with `kv_events_config`:

      {:ok, engine} =
        Vllm.AsyncLLM.from_engine_args(
          model: "meta-llama/Llama-3.2-1B",
          kv_events_config: %{
            enable_kv_cache_events: true,
            endpoint: "ipc:///run/vllm/kv-events",
            replay_endpoint: "ipc:///run/vllm/kv-replay"
          }
        )

      {:ok, stream} = Vllm.kv_events(engine, since: 0)

      for batch <- stream, %{"type" => "BlockStored"} = stored <- batch.events do
        IO.inspect({stored["block_hashes"], stored["token_ids"]})
      end

  Each item is a `Vllm.KVEventBatch`: what one step of the engine stored or removed. The hash of a block
  says its tokens and all that come before them, so a prefix is cached if the hashes of its blocks are.

  The events hold the token ids of every request of the engine, whoever sent it. vLLM publishes them to
  anybody who can reach the endpoint, and its default, `"tcp://*:5557"`, is on every network interface: a
  path of `ipc://` in a folder of the worker's user is reached on this machine only. With data parallel
  ranks an endpoint has to be `tcp://`, and each rank has the next port.

  `Vllm.AsyncLLM.get_kv_event_sources/1` returns the addresses for a subscriber of your own.
  """

  alias Vllm.{Call, Error, Stream}

  @doc """
  Subscribes to the changes of an engine's KV cache. The stream ends with the engine, as an error, or when
  its consumer leaves it.

  ## Options

    * `:since` - the number of the first batch, of each rank; they count from 0. vLLM keeps the last
      10,000 (`buffer_steps`) if it was given a `replay_endpoint`. Without it come those that are
      published after the subscription.
    * `:rpc` - the options of the bridge, see `Vllm.Call`. A consumer that is too slow misses
      batches; `:missed` of the next one says how many.

  ## Errors

    * `:unsupported` - the engine publishes no events, none of its own, or none that can be replayed
    * `:invalid` - `since` is no sequence number
    * those of every call, see `Vllm.AsyncLLM`
  """
  @spec kv_events(Vllm.engine(), keyword()) :: {:ok, Stream.t()} | {:error, Error.t()}
  def kv_events(engine, opts \\ []),
    do: Call.invoke(engine, "kv_events", [], without_deadline(opts))

  # A subscription has no end of its own. What is no keyword list is refused with the call.
  defp without_deadline(opts) do
    rpc = if Keyword.keyword?(opts), do: Keyword.get(opts, :rpc, [])

    if Keyword.keyword?(rpc),
      do: Keyword.put(opts, :rpc, Keyword.put_new(rpc, :timeout, :infinity)),
      else: opts
  end
end
