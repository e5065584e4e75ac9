defmodule Vllm.Core.RedactedServerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Vllm.Core.RedactedServer
  alias Vllm.Error

  defmodule Failing do
    use GenServer
    use Vllm.Core.RedactedServer

    @impl true
    def init(:fail), do: raise("not with a secret")
    def init(:continue), do: {:ok, "a secret state", {:continue, "a secret"}}
    def init(:wait), do: {:ok, "a secret state"}

    @impl true
    def handle_continue(secret, _state), do: raise("not with " <> secret)

    @impl true
    def handle_info(secret, _state), do: throw({:not_with, secret})

    @impl true
    def handle_cast(secret, _state), do: raise("not with " <> secret)

    @impl true
    def handle_call(secret, _from, _state), do: raise("not with " <> secret)

    @impl true
    def terminate(_reason, secret), do: raise("not with " <> secret)
  end

  setup do
    Process.flag(:trap_exit, true)
    :ok
  end

  test "a failure in handle_continue is an orderly stop that reports only the place" do
    log =
      capture_log(fn ->
        {:ok, pid} = GenServer.start_link(Failing, :continue)
        assert_receive {:EXIT, ^pid, {:shutdown, %Error{kind: :protocol} = error}}
        assert error.message =~ "Failing failed with RuntimeError"
        refute error.message =~ "secret"
      end)

    assert log =~ "handle_continue/2"
    refute log =~ "secret"
  end

  test "a failure in init is the reason why it did not start" do
    log =
      capture_log(fn ->
        assert {:error, {:shutdown, %Error{kind: :protocol} = error}} =
                 GenServer.start_link(Failing, :fail)

        assert error.message =~ "Failing failed with RuntimeError"
      end)

    assert log =~ "init/1"
    refute log =~ "secret"
  end

  test "a failure in terminate does not change the reason" do
    log =
      capture_log(fn ->
        {:ok, pid} = GenServer.start_link(Failing, :wait)
        assert GenServer.stop(pid, :shutdown) == :ok
      end)

    assert log =~ "terminate/2"
    refute log =~ "secret"
  end

  test "a supervisor does not show the arguments of a child" do
    child = RedactedServer.child({Agent, fn -> "a secret" end})
    assert %{id: Agent, modules: [Agent]} = child
    {:ok, supervisor} = Supervisor.start_link([child], strategy: :one_for_one)
    assert [{Agent, agent, :worker, [Agent]}] = Supervisor.which_children(supervisor)
    assert Agent.get(agent, & &1) == "a secret"
    arguments = RedactedServer.child(%{id: 1, start: {Agent, :start_link, ["a secret"]}}).start
    refute inspect(arguments) =~ "secret"
  end

  test "a task that fails returns the place" do
    log =
      capture_log(fn ->
        failing = fn -> raise "not with a secret" end
        assert {:error, %Error{kind: :protocol}} = RedactedServer.guarded(__MODULE__, failing)
        assert RedactedServer.guarded(__MODULE__, fn -> :fine end) == :fine
      end)

    refute log =~ "a secret"
  end

  test "an exit reason that may hold something is shown by its shape" do
    assert RedactedServer.reason(:killed) == "killed"
    assert RedactedServer.reason({:shutdown, :closed}) == "shutdown, closed"
    assert RedactedServer.reason({"a secret", []}) == "a tuple of 2 elements"
  end

  test "a failure in handle_info is an orderly stop that reports only the place" do
    log =
      capture_log(fn ->
        {:ok, pid} = GenServer.start_link(Failing, :wait)
        send(pid, "a secret")
        assert_receive {:EXIT, ^pid, {:shutdown, %Error{kind: :protocol} = error}}
        assert error.message =~ "Failing failed with throw"
      end)

    assert log =~ "handle_info/2"
    refute log =~ "secret"
  end
end
