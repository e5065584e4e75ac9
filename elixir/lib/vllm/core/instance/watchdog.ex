defmodule Vllm.Core.Instance.Watchdog do
  @moduledoc false
  # What is done about an engine that lives and does not move.
  #
  # The worker finds out: it sees every step of an engine, and asks one that is silent whether it is
  # paused. Here is only what follows. An engine that hangs cannot be shut down by itself, because it
  # does not listen and its processes may not even die by SIGTERM, so what is replaced is the whole
  # worker, other engines included.

  require Logger

  alias Vllm.Error
  alias Vllm.Core.{Options, Worker}
  alias Vllm.Core.Connection.State
  alias Vllm.Core.Instance.Engines

  @table [
    {:stall_after, :timeout, 120_000,
     "milliseconds for which requests may be without any output of their engine before it counts " <>
       "as hanging; `0` or `:infinity` for as long as it likes."},
    {:action, {:in, [:report, :replace]}, :report,
     "`:report` tells it (see below); `:replace` also kills the worker, so that the instance " <>
       "starts a new one and builds the declared engines again."}
  ]

  @type action :: :report | :replace

  @doc "The options, as documentation."
  @spec options_docs() :: String.t()
  def options_docs, do: Options.docs(@table)

  @doc "Fills in the defaults."
  @spec validate(keyword()) :: {:ok, map()} | {:error, Error.t()}
  def validate(options), do: Options.validate(@table, options, "the option :watchdog")

  @doc "What a connection calls when the worker reports that an engine died, stalled or recovered."
  @spec listener(action()) :: State.on_engine_event()
  def listener(action) do
    fn
      instance, {:died, ref, reason} -> Engines.died(instance, ref, reason)
      instance, {:stalled, ref, notice} -> stalled(instance, ref, notice, action)
      instance, {:recovered, ref, notice} -> recovered(instance, ref, notice)
    end
  end

  # With `:replace` the worker is killed when it is stopped next, and the session ends with the error.
  defp stalled({name, _node} = instance, ref, %{stalled_ms: silent} = notice, action) do
    requests = notice.unfinished_requests
    message = "the engine #{ref.id} hangs: #{requests} requests have got nothing for #{silent} ms"
    Logger.error(message, vllm_instance: name)
    Engines.tell(instance, :stalled, ref, %{duration: native(silent), requests: requests})
    if action == :replace, do: replace(instance, message), else: :ok
  end

  defp recovered({name, _node} = instance, ref, %{stalled_ms: silent}) do
    Logger.notice("the engine #{ref.id} moves again, after #{silent} ms", vllm_instance: name)
    Engines.tell(instance, :recovered, ref, %{duration: native(silent)})
  end

  defp replace(instance, message) do
    Worker.give_up(instance)
    {:end_session, Error.new(:worker_down, message <> "; its worker is replaced")}
  end

  defp native(milliseconds), do: System.convert_time_unit(milliseconds, :millisecond, :native)
end
