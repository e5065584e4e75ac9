defmodule Vllm.RequestOutputCollector do
  @moduledoc """
  Takes the outputs of a request that was added with `Vllm.AsyncLLM.add_request/4`, one by one.

      {:ok, collector} = Vllm.AsyncLLM.add_request(engine, "req-1", "Hello", max_tokens: 16)
      {:ok, %Vllm.RequestOutput{}} = Vllm.RequestOutputCollector.get(collector)

  As in vLLM, outputs are not queued until they are taken: with `output_kind: :DELTA` they are merged
  into one, otherwise only the newest is kept. A loop that ends at `nil` gets the whole text:

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

  This module is written by hand, not generated. Its functions have the names of Python's methods.
  """

  alias Vllm.{Call, Error, PoolingRequestOutput, Ref, RequestOutput}

  @typedoc "The reference that `Vllm.AsyncLLM.add_request/4` returns."
  @type t :: Ref.t()

  @typedoc "An output of a request."
  @type output :: RequestOutput.t() | PoolingRequestOutput.t()

  @doc """
  Waits for the next output, without a limit unless `rpc: [timeout: ms]` sets one. A call that times
  out loses no output: the next call gets it.

  Returns `{:ok, nil}` after the finished output was taken or the collector was closed. If the request
  fails, for example with `:engine_dead`, this and each later call return the error.
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
  Aborts the request if it still runs. From then on `get/1` returns `{:ok, nil}`; so does one that is
  waiting. Closing twice is harmless.
  """
  @spec close(t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def close(collector, opts \\ []) do
    Call.invoke(collector, "close", [], opts)
  end

  @doc """
  Returns the engine's own id of the request, which is unique. `Vllm.AsyncLLM.abort(engine, id,
  internal: true)` takes it.
  """
  @spec request_id(t()) :: {:ok, String.t()} | {:error, Error.t()}
  def request_id(collector) do
    Call.invoke(collector, "request_id")
  end
end
