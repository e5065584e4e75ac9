defmodule Vllm.RefTest do
  use Vllm.FakeWorkerCase, async: true

  test "inspecting a reference makes no call, whether or not the worker runs", context do
    %{ref: ref, name: name} = context
    # Once before, because code is loaded when it is first used.
    Vllm.share(ref)
    assert [_cast] = sent_by(fn -> Vllm.share(ref) end)
    elsewhere = %{ref | instance: {name, :there@host}}
    stream = open_stream(context, 1)

    # Once before, because code is loaded when it is first used.
    for value <- [ref, elsewhere, stream], text = inspect(value) do
      assert sent_by(fn -> ^text = inspect(value) end) == []
    end

    text = inspect(ref)
    stop_supervised!(name)
    assert sent_by(fn -> ^text = inspect(ref) end) == []
  end

  # Every message that a process sends while it runs a function.
  defp sent_by(fun) do
    test = self()

    pid =
      spawn_link(fn ->
        receive do: (:go -> fun.())
        send(test, :ran)
      end)

    :erlang.trace(pid, true, [:send])
    send(pid, :go)
    assert_receive {:trace, ^pid, :send, :ran, ^test}
    traced(pid)
  end

  defp traced(pid) do
    receive do
      {:trace, ^pid, _send, message, _to} -> [message | traced(pid)]
    after
      0 -> []
    end
  end

  describe "one that no worker has made" do
    test "is refused, whatever its fields are" do
      ref = %Ref{instance: {A.Vllm, node()}, incarnation: "0", id: "1", type: "AsyncLLM"}
      assert Ref.check(ref) == :ok
      forged = for %Ref{} = forged <- Vllm.Absurd.forged(), do: forged
      assert length(forged) > 30

      for term <- [nil, %{}, "ref" | forged] do
        assert {:error, %Vllm.Error{kind: :invalid} = error} = Ref.check(term)
        assert error.message =~ "pass one that a call returned"
      end

      for ref <- forged, do: assert(inspect(ref) =~ "#Vllm.Ref<")
    end
  end

  test "i in IEx says which functions take it" do
    ref = %Vllm.Ref{instance: {A, node()}, incarnation: "1", id: "2", type: "AsyncLLM"}

    for {type, functions} <- [
          {"AsyncLLM", "those of Vllm.AsyncLLM"},
          {"NoSuchClassOfPython", "the methods of its class in Python, by Vllm.call/4"},
          {:forged, "the methods of its class in Python, by Vllm.call/4"}
        ],
        do: assert({"Functions", functions} in IEx.Info.info(%{ref | type: type}))
  end
end
