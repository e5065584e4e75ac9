defmodule Vllm.Core.Instance.Locator do
  @moduledoc false
  # Finds the processes of an instance by its name, on this node or another, and makes the error for
  # those that are not there.
  #
  # A process of the instance `MyApp.Vllm` is registered as `MyApp.Vllm.Connection` and so on. There is
  # no registry, and the names are the same on every node.

  alias Vllm.Error
  alias Vllm.Core.Instance.LastFailure
  alias Vllm.Core.Options

  # How much of the last line of a log an error shows.
  @shown_characters 200

  @typedoc "An instance, as it is known on every node."
  @type instance :: {name :: atom(), node()}

  @typedoc "The last part of a process's name."
  @type part :: String.t()

  @doc "The instance that a caller means by its name, or by `{name, node}`."
  @spec locate(term()) :: {:ok, instance()} | {:error, Error.t()}
  def locate({name, node}) when is_atom(node),
    do: with(:ok <- Options.check(:instance, name, "an instance"), do: {:ok, {name, node}})

  def locate(name),
    do: with(:ok <- Options.check(:instance, name, "an instance"), do: {:ok, {name, node()}})

  @doc "The name under which a part of an instance is registered."
  @spec process_name(atom(), part()) :: atom()
  def process_name(name, part), do: Module.concat(name, part)

  @doc """
  The process as a destination of messages and monitors. It need not be running. `:error` if the
  instance is on another node and this node is not distributed.
  """
  @spec server(instance(), part()) :: {:ok, {atom(), node()}} | :error
  def server({name, node}, part) do
    cond do
      # The instance was started before Node.start/2 gave this node its name.
      node == :nonode@nohost -> {:ok, {process_name(name, part), node()}}
      node == node() or Node.alive?() -> {:ok, {process_name(name, part), node}}
      true -> :error
    end
  end

  @doc "Why a GenServer.call/3 to a process of an instance has exited, as a monitor would report it."
  @spec ended(term()) :: term()
  def ended({{:nodedown, _node}, {GenServer, :call, _arguments}}), do: :noconnection
  def ended({reason, {GenServer, :call, _arguments}}), do: reason
  def ended(reason), do: reason

  @doc "The error for a process of an instance that is not running."
  @spec down(instance(), term()) :: Error.t()
  def down(instance, {:shutdown, %Error{} = error}) do
    down_by(error, "the worker of #{show(instance)} has ended")
  end

  def down(instance, :noconnection) do
    Error.new(:worker_down, "the node of #{show(instance)} is not connected")
  end

  def down(instance, :noproc) do
    case LastFailure.find(instance) do
      nil ->
        not_running(instance)

      error ->
        state =
          if LastFailure.running?(instance),
            do: "is restarting",
            else: "has given up (options :max_restarts and :max_seconds) or was stopped"

        down_by(error, "#{show(instance)} #{state}")
    end
  end

  def down(instance, _reason) do
    case LastFailure.find(instance) do
      nil ->
        Error.new(:worker_down, "the connection to the worker of #{show(instance)} has ended")

      error ->
        down(instance, {:shutdown, error})
    end
  end

  # A worker serves: the process that was asked for belonged to one before it.
  defp not_running({name, node} = instance) do
    if node == node() and Process.whereis(process_name(name, "Pool")),
      do: pool(name),
      else: no_instance(instance)
  end

  # Calls to a worker, such as those that build an engine, are for one instance.
  defp pool(name) do
    Error.new(
      :invalid,
      "#{inspect(name)} is a pool, and this is a call to one instance: name one of its members, which " <>
        "Vllm.Pool.members(#{inspect(name)}) lists"
    )
  end

  defp no_instance({name, _node} = instance) do
    case LastFailure.earlier(instance) do
      nil ->
        Error.new(
          :worker_down,
          "#{show(instance)} is not running: it is restarting, or was not started; put " <>
            "{Vllm, name: #{inspect(name)}} into a supervision tree"
        )

      error ->
        down_by(error, "an earlier worker of #{show(instance)} has ended, and another serves")
    end
  end

  # The lines of the log are in the details, as far as they are known; the cause has its full message.
  defp down_by(error, what) do
    Error.new(:worker_down, "#{what}: #{first_line(error)}#{last_line(error)}",
      cause: error,
      details: Map.take(error.details, ["log"])
    )
  end

  # What the worker said last is often the best hint.
  defp last_line(%Error{details: %{"log" => [_ | _] = lines}}) do
    case lines |> Enum.reverse() |> Enum.find(&(String.trim(&1) != "")) do
      nil -> ""
      line -> "; its last line was: " <> String.slice(line, 0, @shown_characters)
    end
  end

  defp last_line(_error), do: ""

  # Without the log lines that follow.
  defp first_line(%Error{message: message}), do: message |> String.split(["; ", "\n"]) |> hd()

  defp show({name, node}) when node == node(), do: inspect(name)
  defp show({name, node}), do: "#{inspect(name)} on #{node}"
end
