defmodule Vllm.Core.Instance.Default do
  @moduledoc false
  # The default instance: it is started by the first call that names no instance, such as
  # `Vllm.AsyncLLM.from_engine_args(model: "…")` in IEx.
  #
  # Calls need it, and instances make calls. So this supervisor does not know how an instance is
  # started: the application hands it the function.

  use DynamicSupervisor

  alias Vllm.Error
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.{RedactedServer, RedactedSupervisor}

  @name Vllm.Default
  @supervisor Vllm.DefaultSupervisor

  @doc "Starts the supervisor. `start` starts an instance from its options."
  @spec start_link((keyword() -> Supervisor.on_start() | {:error, Error.t()})) ::
          Supervisor.on_start()
  def start_link(start), do: RedactedSupervisor.start_dynamic(__MODULE__, start, @supervisor)

  @doc """
  The default instance, started if it does not run, with the options of
  `config :vllm_bridge, default: […]`.

  The supervisor starts one child at a time. Of several processes that call this first, one starts
  the instance and the others wait for it.
  """
  @spec instance() :: {:ok, Locator.instance()} | {:error, Error.t()}
  def instance do
    # An instance registers its own name first and is ready when its connection is.
    connection = Locator.process_name(@name, "Connection")
    if Process.whereis(connection), do: {:ok, {@name, node()}}, else: start()
  end

  defp start do
    options = Application.get_env(:vllm_bridge, :default, [])
    # Anything else is refused with the other options.
    options = if Keyword.keyword?(options), do: Keyword.put(options, :name, @name), else: options
    # The supervisor puts its extra argument in front.
    child = %{
      id: @name,
      start: {__MODULE__, :start_instance, [fn -> options end]},
      type: :supervisor
    }

    case DynamicSupervisor.start_child(@supervisor, child) do
      {:ok, _pid} -> {:ok, {@name, node()}}
      {:error, {:already_started, _pid}} -> {:ok, {@name, node()}}
      {:error, %Error{} = error} -> {:error, error}
      {:error, reason} -> {:error, not_started(RedactedServer.reason(reason))}
    end
  catch
    :exit, _reason -> {:error, not_started("the application :vllm_bridge is not running")}
  end

  defp not_started(reason),
    do: Error.new(:worker_down, "the default instance cannot be started: #{reason}")

  @doc false
  # The options are in a function, because a supervisor shows the arguments of its children.
  def start_instance(start, options), do: start.(options.())

  @impl true
  def init(start),
    do: DynamicSupervisor.init(strategy: :one_for_one, extra_arguments: [start])
end
