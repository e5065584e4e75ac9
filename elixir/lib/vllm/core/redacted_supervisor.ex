defmodule Vllm.Core.RedactedSupervisor do
  @moduledoc false
  # Supervisors that take unknown messages, as Vllm.Core.RedactedServer does for servers.
  #
  # A supervisor of OTP logs a message that it does not know as it is, and an unknown call ends it, with
  # all its children. The name of an instance is that of its supervisor, so a call that is meant for
  # another process is easily made. Both are refused here; all else is done by `:supervisor` and by
  # `DynamicSupervisor`, whose callbacks this module passes messages on to. Their states, which
  # :sys.get_status/1 would show, hold the arguments of the children.

  use GenServer
  use Vllm.Core.RedactedServer

  alias Vllm.Core.RedactedServer

  @calls [
    :which_children,
    :count_children,
    :start_child,
    :start_task,
    :terminate_child,
    :restart_child,
    :delete_child,
    :get_childspec,
    :which_child
  ]

  # To itself, when a child could not be restarted.
  @casts [:try_again_restart]
  # The last one, since OTP 28, when nothing has happened for some time.
  @infos [:EXIT, :"$gen_restart", :hibernate]

  @doc "As `Supervisor.start_link/3`."
  @spec start_link(module(), term(), atom()) :: Supervisor.on_start()
  def start_link(module, argument, name) do
    argument = {{:local, name}, module, argument}
    GenServer.start_link(__MODULE__, {:supervisor, module, argument}, name: name)
  end

  @doc "As `DynamicSupervisor.start_link/3`."
  @spec start_dynamic(module(), term(), atom()) :: Supervisor.on_start()
  def start_dynamic(module, argument, name) do
    argument = {module, argument, name}
    GenServer.start_link(__MODULE__, {DynamicSupervisor, module, argument}, name: name)
  end

  @doc "The specification of a supervisor for the functions of `Task.Supervisor`."
  @spec tasks(atom()) :: Supervisor.child_spec()
  def tasks(name) do
    %{
      id: name,
      start: {__MODULE__, :start_dynamic, [__MODULE__.Tasks, [], name]},
      type: :supervisor
    }
  end

  defmodule Tasks do
    @moduledoc false
    # As Task.Supervisor: tasks are not restarted, and have five seconds to end.

    def init([]) do
      Process.put(Task.Supervisor, {:temporary, 5_000})
      DynamicSupervisor.init(strategy: :one_for_one)
    end
  end

  @impl true
  def init({behaviour, module, argument}) do
    # By this, tools find out that a process is a supervisor.
    Process.put(:"$initial_call", {:supervisor, module, 1})
    argument |> behaviour.init() |> wrapped({behaviour, module, nil})
  end

  @impl true
  def handle_call(call, from, {behaviour, module, state} = own) do
    if tag(call) in @calls,
      do: behaviour |> apply(:handle_call, [call, from, state]) |> wrapped(own),
      else: RedactedServer.stray_call(module, call, own)
  end

  @impl true
  def handle_cast(cast, {behaviour, module, state} = own) do
    if tag(cast) in @casts,
      do: behaviour |> apply(:handle_cast, [cast, state]) |> wrapped(own),
      else: RedactedServer.stray(module, "cast", cast, own)
  end

  @impl true
  def handle_info(message, {behaviour, module, state} = own) do
    if tag(message) in @infos,
      do: behaviour |> apply(:handle_info, [message, state]) |> wrapped(own),
      else: RedactedServer.stray(module, "message", message, own)
  end

  @impl true
  def terminate(reason, {behaviour, _module, state}), do: behaviour.terminate(reason, state)

  @impl RedactedServer.format_status?()
  def format_status(status),
    do: RedactedServer.hide(status, fn {_behaviour, module, _children} -> %{module: module} end)

  defp tag(message) when is_tuple(message) and tuple_size(message) > 1, do: elem(message, 0)
  defp tag(message), do: message

  # What a callback of the behaviour has returned, with the new state in the place of the old.
  # What follows the state says when the process hibernates.
  defp wrapped(returned, {behaviour, module, _state}) do
    case state_at(returned) do
      nil -> returned
      place -> put_elem(returned, place, {behaviour, module, elem(returned, place)})
    end
  end

  defp state_at(:ignore), do: nil
  defp state_at({:stop, _reason}), do: nil
  defp state_at(returned) when elem(returned, 0) in [:ok, :noreply], do: 1

  # {:reply, reply, state, …}, {:stop, reason, state}; of a supervisor no {:stop, reason, reply, state}.
  defp state_at(_returned), do: 2
end
