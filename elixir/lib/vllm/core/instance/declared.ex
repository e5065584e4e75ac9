defmodule Vllm.Core.Instance.Declared do
  @moduledoc false
  # Finds the declared engines of an instance, on this node or another. The process behind it is
  # Vllm.Core.Instance.Engines.
  #
  # `fetch/3` runs before every request. So the references are in an ETS table that every process
  # reads directly; only a caller that has to wait for an engine sends a message.

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Instance.Locator

  @part "Engines"

  @typedoc "What is known of a declared engine."
  @type status :: :building | {:ready, Ref.t()} | {:failed, Error.t()}

  @doc "The name of the process, and of its table."
  @spec process_name(atom()) :: atom()
  def process_name(instance), do: Locator.process_name(instance, @part)

  @doc "The engine with this name. Waits while it is being built."
  @spec fetch(Locator.instance(), atom(), timeout()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def fetch(location, name, timeout) do
    with :unknown <- ready(location, name),
         {:ok, answer} <- call(location, {:await, name}, timeout),
         do: answer
  end

  @doc "The engine with this name, if it is ready and this node knows it."
  @spec ready(Locator.instance(), atom()) :: {:ok, Ref.t()} | :unknown
  def ready({instance, node}, name) when node == node() do
    case :ets.lookup(process_name(instance), name) do
      [{^name, {:ready, ref}}] -> {:ok, ref}
      _otherwise -> :unknown
    end
  rescue
    # There is no table: the instance is restarting or does not run.
    ArgumentError -> :unknown
  end

  def ready(_on_another_node, _name), do: :unknown

  @doc "The status of each declared engine, in the order of their declaration."
  @spec statuses(Locator.instance()) :: {:ok, [{atom(), status()}]} | {:error, Error.t()}
  def statuses(location), do: call(location, :statuses, 5_000)

  @doc "The names of the engines that are ready, by the ids of their references."
  @spec names(Locator.instance()) :: %{String.t() => atom()}
  def names(location) do
    case statuses(location) do
      {:ok, statuses} -> for {name, {:ready, ref}} <- statuses, into: %{}, do: {ref.id, name}
      {:error, _error} -> %{}
    end
  end

  @doc "Stops building engines, because the instance stops. Called by Drain."
  @spec stop(Locator.instance()) :: :ok
  def stop(location) do
    {_ok, _answer} = call(location, :stop, 5_000)
    :ok
  end

  @doc "The process. `:error` if it is on another node and this node is not distributed."
  @spec server(Locator.instance()) :: {:ok, {atom(), node()}} | :error
  def server(location), do: Locator.server(location, @part)

  @doc """
  Watches the engines: the calling process gets the reports of Vllm.Core.Instance.Reports until it
  ends, and a `:DOWN` message with the reference that is returned when they are there no more.
  """
  @spec watch(pid() | {atom(), node()}) :: reference()
  def watch(server) do
    monitor = Process.monitor(server)
    GenServer.cast(server, {:report_to, self()})
    monitor
  end

  defp call(location, message, timeout) do
    case server(location) do
      {:ok, server} -> {:ok, GenServer.call(server, message, timeout)}
      :error -> {:error, Locator.down(location, :noconnection)}
    end
  catch
    :exit, {:timeout, _call} -> {:error, late(message, timeout)}
    :exit, reason -> {:error, Locator.down(location, Locator.ended(reason))}
  end

  defp late({:await, name}, timeout) do
    Error.new(:timeout, "the engine #{inspect(name)} was not ready within #{timeout} ms")
  end

  defp late(_message, timeout) do
    Error.new(:timeout, "the process of the declared engines did not answer within #{timeout} ms")
  end
end
