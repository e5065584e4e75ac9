defmodule Vllm.Core.Connection.State do
  @moduledoc false
  # What a connection knows. Each part of it is changed in one place, all of Vllm.Core.Connection:
  #
  #     instance … on_engine_event Opening, once
  #     routes                Calls, for callers and consumers; Incoming, for replies
  #     producers, next_id    Calls; the process itself when a producer has ended
  #     outbox                Outgoing, for whoever has something to send
  #     session               Incoming and Outgoing, by the bytes that come and go
  #     drain                 the process itself
  #
  # A step that may end the session returns `t:step/0`, and the process decides what follows.

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Call.Producers
  alias Vllm.Core.Connection.{Outbox, Routes}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Wire.Session
  alias Vllm.Proto.{EngineRecovered, EngineStalled, ServerHello}

  @enforce_keys [:instance]
  defstruct [
    :instance,
    :socket,
    # what the worker said of itself
    :hello,
    # when the session was opened
    :since,
    # what is called when an engine dies, stalls or recovers
    :on_engine_event,
    # nil until it is open
    :session,
    routes: %Routes{},
    producers: %Producers{},
    next_id: 1,
    outbox: %Outbox{},
    # who waits for the end of the calls in flight, then :done; new calls are refused
    drain: nil
  ]

  @type t :: %__MODULE__{
          instance: Locator.instance(),
          socket: :gen_tcp.socket() | nil,
          hello: ServerHello.t() | nil,
          since: integer() | nil,
          on_engine_event: on_engine_event() | nil,
          session: Session.t() | nil,
          routes: Routes.t(),
          producers: Producers.t(),
          next_id: pos_integer(),
          outbox: Outbox.t(),
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

  @typedoc "The session goes on, or has ended with an error."
  @type step :: {:ok, t()} | {:error, Error.t(), t()}

  @doc "The metadata of what is logged."
  @spec metadata(t()) :: keyword()
  def metadata(%__MODULE__{instance: {name, _node}}), do: [vllm_instance: name]
end
