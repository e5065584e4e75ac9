defmodule Vllm.Core.Application do
  @moduledoc false
  # Instances belong into the supervision tree of the application that uses them. This tree holds
  # only the default instance, which is started when a function that needs one is called without
  # naming one: `Vllm.AsyncLLM.from_engine_args(model: "…")` in IEx. And what runs where the caller is,
  # which may be another node than the instance's: the processes that enumerate arguments, and the
  # one that tells the end of what a caller began and did not live to end.

  use Application

  alias Vllm.Error
  alias Vllm.Core.{Connection, Instance}
  alias Vllm.Core.Call.Producer
  alias Vllm.Core.Instance.LastFailure
  alias Vllm.Core.Telemetry.Witness

  @default Vllm.Default
  @supervisor Vllm.DefaultSupervisor

  @impl true
  def start(_type, _args) do
    LastFailure.init()

    children = [
      Witness,
      {DynamicSupervisor, name: @supervisor, strategy: :one_for_one},
      Producer
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Vllm.Supervisor)
  end

  @doc """
  The default instance, started if need be with `config :vllm_bridge, default: […]`. The
  supervisor starts one child at a time, so of several first callers one starts it and the others
  wait for the same.
  """
  @spec default_instance() :: {:ok, Connection.instance()} | {:error, Error.t()}
  def default_instance do
    # The connection is the last that a call needs; the instance's own name is taken earlier.
    connection = Instance.process_name(@default, "Connection")
    if Process.whereis(connection), do: {:ok, {@default, node()}}, else: start_default()
  end

  defp start_default do
    options = Application.get_env(:vllm_bridge, :default, []) |> Keyword.put(:name, @default)
    child = %{id: @default, start: {Instance, :start_link, [options]}, type: :supervisor}

    case DynamicSupervisor.start_child(@supervisor, child) do
      {:ok, _pid} -> {:ok, {@default, node()}}
      {:error, {:already_started, _pid}} -> {:ok, {@default, node()}}
      {:error, %Error{} = error} -> {:error, error}
      {:error, reason} -> {:error, not_started(reason)}
    end
  catch
    :exit, _reason -> {:error, not_started(:the_application_vllm_bridge_is_not_running)}
  end

  defp not_started(reason) do
    Error.new(:worker_down, "the default instance cannot be started: #{inspect(reason)}")
  end
end
