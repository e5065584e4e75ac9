defmodule Vllm.Core.Connection.State do
  @moduledoc false
  # The state of a connection. Each part of it is changed in one place:
  #
  #     instance … on_engine_event   Opening, once
  #     routes                       Calls, for callers and consumers; Incoming, for replies
  #     producers, next_id           Calls; the process itself when a producer has ended; Handover
  #     references                   Handover; the process itself, for owners; Opening, once
  #     outbox                       Outgoing
  #     session                      Incoming and Outgoing, with the bytes received and sent; Heartbeat
  #     heartbeat                    Heartbeat
  #     drain                        the process itself
  #
  # A step that may end the session returns `t:step/0`, and the process acts on it.

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Call.Producers
  alias Vllm.Core.Connection.{Heartbeat, Outbox, References, Resumption, Routes}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Wire.{Session, Socket}
  alias Vllm.Proto.{AdapterPartlyUsed, EngineLoad, EngineRecovered, EngineStalled, ServerHello}

  @enforce_keys [:instance]
  defstruct [
    :instance,
    :socket,
    # the worker's hello
    :hello,
    # when the session was opened
    :since,
    # what is called when an engine dies, stalls or recovers
    :on_engine_event,
    # keeps the references when the session is lost
    :resumption,
    # nil until the session is open
    :session,
    routes: %Routes{},
    producers: %Producers{},
    references: %References{},
    next_id: 1,
    outbox: %Outbox{},
    # for how many milliseconds the worker may be silent, and what has come from it, for Heartbeat
    silent_after: :infinity,
    heartbeat: {0, 0},
    # the caller of drain/2 while calls are in flight, then :done; new calls are refused
    drain: nil
  ]

  @type t :: %__MODULE__{
          instance: Locator.instance(),
          socket: Socket.t() | nil,
          hello: ServerHello.t() | nil,
          since: integer() | nil,
          on_engine_event: on_engine_event() | nil,
          resumption: Resumption.t(),
          session: Session.t() | nil,
          routes: Routes.t(),
          producers: Producers.t(),
          references: References.t(),
          next_id: pos_integer(),
          outbox: Outbox.t(),
          silent_after: timeout(),
          heartbeat: Heartbeat.t(),
          drain: GenServer.from() | :done | nil
        }

  @typedoc """
  Called when the worker reports something of an engine. `{:end_session, error}` ends the session
  with that error.
  """
  @type on_engine_event ::
          (Locator.instance(), engine_event() -> :ok | {:end_session, Error.t()})

  @type engine_event ::
          {:died, Ref.t(), reason :: String.t()}
          | {:stalled, Ref.t(), EngineStalled.t()}
          | {:recovered, Ref.t(), EngineRecovered.t()}
          | {:adapter_partly_used, Ref.t(), AdapterPartlyUsed.t()}
          | {:loads, [EngineLoad.t()]}
          | :draining

  @typedoc "The session goes on, or has ended with an error."
  @type step :: {:ok, t()} | {:error, Error.t(), t()}

  @doc "The metadata of log lines."
  @spec metadata(t()) :: keyword()
  def metadata(%__MODULE__{instance: {name, _node}}), do: [vllm_instance: name]
end
