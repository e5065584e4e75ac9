defmodule Vllm.Core.RedactedSupervisorTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Vllm.Core.RedactedSupervisor
  alias Vllm.Error

  defmodule Root do
    def init(children), do: Supervisor.init(children, strategy: :one_for_one)
  end

  defmodule Dynamic do
    def init(:none), do: DynamicSupervisor.init(strategy: :one_for_one)
  end

  # As :supervisor since OTP 28: what follows its state says when it hibernates, which a message tells it.
  defmodule Hibernating do
    @action {:timeout, :infinity, {:hibernate, :tag}}

    def init(:ignored), do: :ignore
    def init(:refused), do: {:stop, :no}
    def init(argument), do: {:ok, argument, @action}
    def handle_call(:which_children, _from, state), do: {:reply, [], [:called | state], @action}
    def handle_cast({:try_again_restart, 1}, state), do: {:noreply, [:cast | state], @action}
    def handle_info({:hibernate, :tag}, state), do: {:noreply, [:idle | state], :hibernate}
    def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, [:exit | state]}
    def terminate(reason, state), do: {:terminated, reason, state}
  end

  setup %{test: name} do
    Process.flag(:trap_exit, true)
    %{name: name}
  end

  test "supervises as Supervisor does", %{name: name} do
    child = {Agent, fn -> 1 end}
    {:ok, pid} = RedactedSupervisor.start_link(Root, [child], name)
    assert {:error, {:already_started, ^pid}} = RedactedSupervisor.start_link(Root, [], name)
    assert [{Agent, agent, :worker, [Agent]}] = Supervisor.which_children(name)
    monitor = Process.monitor(agent)
    capture_log(fn -> Process.exit(agent, :kill) end)
    assert_receive {:DOWN, ^monitor, :process, _pid, :killed}
    assert [{Agent, again, :worker, [Agent]}] = Supervisor.which_children(name)
    assert again != agent and Agent.get(again, & &1) == 1

    assert {:ok, _other} =
             Supervisor.start_child(name, Map.put(Agent.child_spec(fn -> 2 end), :id, 2))

    assert %{active: 2, workers: 2} = Supervisor.count_children(name)
    assert Supervisor.terminate_child(name, 2) == :ok
    assert Supervisor.delete_child(name, 2) == :ok
    assert Supervisor.stop(name) == :ok
    refute Process.alive?(again)
  end

  test "a child that does not start is the reason, as with Supervisor", %{name: name} do
    children = [%{id: :a, start: {Function, :identity, [{:error, :no}]}}]
    expected = {:error, {:shutdown, {:failed_to_start_child, :a, :no}}}
    capture_log(fn -> assert RedactedSupervisor.start_link(Root, children, name) == expected end)
  end

  test "gives up after the restarts that its module allows", %{name: name} do
    {:ok, pid} = RedactedSupervisor.start_link(Root, [{Agent, fn -> 1 end}], name)

    capture_log(fn ->
      for _ <- 1..4,
          Process.alive?(pid),
          [{_, agent, _, _}] <- [Supervisor.which_children(pid)] do
        monitor = Process.monitor(agent)
        Process.exit(agent, :kill)
        assert_receive {:DOWN, ^monitor, :process, _pid, :killed}
      end

      assert_receive {:EXIT, ^pid, :shutdown}
    end)
  end

  test "supervises as DynamicSupervisor does", %{name: name} do
    {:ok, _pid} = RedactedSupervisor.start_dynamic(Dynamic, :none, name)
    {:ok, agent} = DynamicSupervisor.start_child(name, {Agent, fn -> 1 end})
    assert DynamicSupervisor.terminate_child(name, agent) == :ok
    assert %{active: 0} = DynamicSupervisor.count_children(name)
  end

  test "keeps the state where OTP puts it, whatever follows it" do
    assert {:ok, own, action} = RedactedSupervisor.init({Hibernating, Root, [:begun]})
    assert {:reply, [], own, ^action} = RedactedSupervisor.handle_call(:which_children, nil, own)
    assert {:noreply, own, ^action} = RedactedSupervisor.handle_cast({:try_again_restart, 1}, own)
    assert {:noreply, own, :hibernate} = RedactedSupervisor.handle_info({:hibernate, :tag}, own)
    assert {:stop, :no, own} = RedactedSupervisor.handle_info({:EXIT, self(), :no}, own)

    assert RedactedSupervisor.terminate(:no, own) ==
             {:terminated, :no, [:exit, :idle, :cast, :called, :begun]}

    assert RedactedSupervisor.init({Hibernating, Root, :ignored}) == :ignore
    assert RedactedSupervisor.init({Hibernating, Root, :refused}) == {:stop, :no}
  end

  test "runs tasks as Task.Supervisor does", %{name: name} do
    start_supervised!(RedactedSupervisor.tasks(name))
    assert Task.await(Task.Supervisor.async_nolink(name, fn -> 7 end)) == 7
    test = self()
    {:ok, pid} = Task.Supervisor.start_child(name, fn -> send(test, self()) end)
    assert_receive ^pid
    {:ok, pid} = Task.Supervisor.start_child(name, Kernel, :send, [test, :by_name])
    assert_receive :by_name
    assert is_pid(pid)
  end

  test "refuses unknown messages by their shape and shows no children", %{name: name} do
    {:ok, pid} = RedactedSupervisor.start_link(Root, [{Agent, fn -> "a secret" end}], name)

    log =
      capture_log(fn ->
        assert {:error, %Error{kind: :invalid}} = GenServer.call(pid, {:generate, "a secret"})
        GenServer.cast(pid, "a secret")
        send(pid, {:tokens, "a secret"})
        status = inspect(:sys.get_status(pid), limit: :infinity)
        refute status =~ "Agent"
      end)

    assert Process.alive?(pid)
    assert log =~ "Root refused an unknown call: a tuple of 2 elements"
    assert log =~ "Root ignored an unknown message: a tuple of 2 elements"
    refute log =~ "secret"
  end
end
