defmodule Vllm.Core.RedactedServerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Vllm.Error

  defmodule Failing do
    use GenServer
    use Vllm.Core.RedactedServer

    @impl true
    def init(:continue), do: {:ok, "a secret state", {:continue, "a secret"}}
    def init(:wait), do: {:ok, "a secret state"}

    @impl true
    def handle_continue(secret, _state), do: raise("not with " <> secret)

    @impl true
    def handle_info(secret, _state), do: throw({:not_with, secret})
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
