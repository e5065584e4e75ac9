defmodule Vllm.RequestOutputCollector do
  @moduledoc """
  The outputs of a request that `Vllm.AsyncLLM.add_request/4` has added, taken one by one.

      {:ok, collector} = Vllm.AsyncLLM.add_request(engine, "req-1", "Hello", max_tokens: 16)
      {:ok, %Vllm.RequestOutput{}} = Vllm.RequestOutputCollector.get(collector)

  As in vLLM, outputs that nobody takes are not queued: with `output_kind: :DELTA` they are merged
  into one, otherwise the newest stays. So a loop that ends at `nil` misses no text:

      def loop(collector) do
        case Vllm.RequestOutputCollector.get(collector) do
          {:ok, nil} -> :done
          {:ok, output} -> handle(output) && loop(collector)
          {:error, error} -> {:error, error}
        end
      end

  The request lives as long as the reference: when the process that called `add_request` ends, or
  calls `Vllm.release/1`, and no other process was made an owner by `Vllm.share/2`, the request is
  aborted in the engine. `Vllm.AsyncLLM.abort/2` and `close/1` abort it as well.

  This module is the one class of vLLM's whose functions are written by hand; their names are
  Python's.
  """

  alias Vllm.{Call, Error, PoolingRequestOutput, Ref, RequestOutput}

  @typedoc "As returned by `Vllm.AsyncLLM.add_request/4`."
  @type t :: Ref.t()

  @type output :: RequestOutput.t() | PoolingRequestOutput.t()

  @doc """
  Waits for the next output, without a limit unless `rpc: [timeout: ms]` sets one. A wait that
  timed out took nothing: the next one gets it.

  Returns `{:ok, nil}` once the finished output was taken or the collector was closed. The failure
  of the request, such as `:engine_dead`, is returned by this and each further call.
  """
  @spec get(t(), keyword()) :: {:ok, output() | nil} | {:error, Error.t()}
  def get(collector, opts \\ []) do
    Call.invoke(collector, "get", [], opts)
  end

  @doc "Takes the next output if there is one, or returns `{:ok, nil}` at once."
  @spec get_nowait(t(), keyword()) :: {:ok, output() | nil} | {:error, Error.t()}
  def get_nowait(collector, opts \\ []) do
    Call.invoke(collector, "get_nowait", [], opts)
  end

  @doc """
  Aborts the request if it still runs. `get/1` returns `{:ok, nil}` from then on, also where it
  waits already. Closing twice is harmless.
  """
  @spec close(t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def close(collector, opts \\ []) do
    Call.invoke(collector, "close", [], opts)
  end

  @doc """
  The engine's own id of the request, which no other request has had:
  `Vllm.AsyncLLM.abort(engine, id, internal: true)` takes it.
  """
  @spec request_id(t()) :: {:ok, String.t()} | {:error, Error.t()}
  def request_id(collector) do
    Call.invoke(collector, "request_id")
  end
end
