defmodule Vllm.Core.Instance.Watchdog do
  @moduledoc false
  # Reacts when the worker reports that an engine has died, has stalled, has recovered, or uses an
  # adapter in part only.
  #
  # The worker detects stalls: it sees every step of an engine, and asks an engine that makes no
  # progress whether it is paused. An engine that hangs cannot be shut down alone, since it does not
  # answer and its processes may not even end on SIGTERM. So `action: :replace` replaces the whole
  # worker, with its other engines.

  require Logger

  alias Vllm.Error
  alias Vllm.Core.{Options, Worker}
  alias Vllm.Core.Connection.State
  alias Vllm.Core.Instance.Engines

  @table [
    {:stall_after, :timeout, 120_000,
     "an engine counts as hanging when its requests get no output for so many milliseconds; `0` " <>
       "or `:infinity` to never count it as hanging."},
    {:action, {:in, [:report, :replace]}, :report,
     "`:report` logs it and emits an event (see below); `:replace` also kills the worker, so that " <>
       "the instance starts a new one and rebuilds the declared engines."},
    {:silent_after, :timeout, 40_000,
     "the worker itself counts as hanging when nothing has come from it for so many milliseconds, not " <>
       "even the answer to a ping after a quarter of them; it is noticed within a quarter more. Its calls and streams end with `:worker_down`, " <>
       "and a worker of the instance's own is replaced, whatever `:action` is. `0` or `:infinity` for " <>
       "never, for example while a debugger has stopped it."}
  ]

  # What the notice of an adapter names.
  @parts [:unknown_modules, :base_tensors, :empty_targets, :model_modules]

  @type action :: :report | :replace

  @doc "The options, as documentation."
  @spec options_docs() :: String.t()
  def options_docs, do: Options.docs(@table)

  @doc "Fills in the defaults."
  @spec validate(keyword()) :: {:ok, map()} | {:error, Error.t()}
  def validate(options), do: Options.validate(@table, options, "the option :watchdog")

  @doc "The function that a connection calls with the engine events of its worker."
  @spec listener(action()) :: State.on_engine_event()
  def listener(action) do
    fn
      instance, {:died, ref, reason} -> Engines.died(instance, ref, reason)
      instance, {:stalled, ref, notice} -> stalled(instance, ref, notice, action)
      instance, {:recovered, ref, notice} -> recovered(instance, ref, notice)
      instance, {:adapter_partly_used, ref, notice} -> partly_used(instance, ref, notice)
      instance, {:loads, loads} -> Engines.loads(instance, loads)
      instance, :draining -> Engines.draining(instance)
    end
  end

  # With `:replace`, ending the session with the error makes the supervisor stop the worker, which is
  # killed without a grace period.
  defp stalled({name, _node} = instance, ref, %{stalled_ms: silent} = notice, action) do
    requests = notice.unfinished_requests

    message =
      "the engine #{ref.id} hangs: no output for #{silent} ms (unfinished requests: #{requests})"

    Logger.error(message, vllm_instance: name)
    Engines.tell(instance, :stalled, ref, %{duration: native(silent), requests: requests})
    if action == :replace, do: replace(instance, message), else: :ok
  end

  defp recovered({name, _node} = instance, ref, %{stalled_ms: silent}) do
    Logger.notice("the engine #{ref.id} has recovered: it made no progress for #{silent} ms",
      vllm_instance: name
    )

    Engines.tell(instance, :recovered, ref, %{duration: native(silent)})
  end

  # The worker has logged it.
  defp partly_used(instance, ref, notice) do
    keys = [:lora_name, :lora_int_id, :lora_path] ++ @parts
    Engines.tell(instance, :adapter_partly_used, ref, %{}, Map.take(notice, keys))
  end

  defp replace(instance, message) do
    Worker.give_up(instance)
    {:end_session, Error.new(:worker_down, message <> "; its worker is replaced")}
  end

  defp native(milliseconds), do: System.convert_time_unit(milliseconds, :millisecond, :native)
end
