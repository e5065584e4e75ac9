defmodule Vllm.Core.Instance.RunningTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Instance.Running

  test "an instance is known as long as its supervisor has its name", %{test: name} do
    refute name in Running.names()

    {:ok, supervisor} =
      Agent.start(fn ->
        Process.register(self(), name)
        Running.put(name)
      end)

    assert name in Running.names()
    Agent.stop(supervisor)
    refute name in Running.names()

    # Another process of that name is another instance, which has not said so yet.
    Process.register(self(), name)
    refute name in Running.names()
    Running.put(name)
    assert name in Running.names()
  end
end
