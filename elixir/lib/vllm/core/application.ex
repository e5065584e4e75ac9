defmodule Vllm.Core.Application do
  @moduledoc false
  # The processes that run once on each node. Instances belong into the supervision tree of the
  # application that uses them; only the default instance is started here.
  #
  # The processes that enumerate streamed arguments, and the one that reports the end of calls whose
  # process was killed, belong to the node of the caller. So do those that send the items of a stream to
  # a receiver here (`stream_to:`). The instance may run on another node.

  use Application

  alias Vllm.Core.Call.Producer
  alias Vllm.Core.{Instance, RedactedSupervisor}
  alias Vllm.Core.Instance.{Default, LastFailure, Running}
  alias Vllm.Core.Pool.Scope
  alias Vllm.Core.Telemetry.{Models, Witness}

  @impl true
  def start(_type, _args) do
    LastFailure.init()
    Running.init()
    Models.init()
    forwarders = RedactedSupervisor.tasks(Vllm.Core.Forwarders)
    children = [Scope, Witness, {Default, &Instance.start_link/1}, Producer, forwarders]
    RedactedSupervisor.start_link(__MODULE__, children, Vllm.Supervisor)
  end

  @doc false
  def init(children), do: Supervisor.init(children, strategy: :one_for_one)
end
