defmodule Vllm.Bridge.LLMTest do
  # `Vllm.LLM` on a real worker with the fake engine. Not async: it defines the module :telemetry.
  use Vllm.BridgeCase

  import ExUnit.CaptureIO
  import Vllm.StandIns

  alias Vllm.LLM

  setup %{instance: instance} do
    {:ok, llm} = LLM.new(instance, "fake", max_model_len: 64)
    on_exit(fn -> LLM.shutdown(llm) end)
    %{llm: llm}
  end

  defp hanging, do: %{max_tokens: nil, extra_args: %{"fake" => %{"hang" => true, "after" => 1}}}

  defp unfinished(llm) do
    {:ok, count} = LLM.get_num_unfinished_requests(llm)
    count
  end

  test "a batch returns structs in the order of its prompts", %{llm: llm} do
    params = [max_tokens: 2]

    assert {:ok, [%RequestOutput{prompt: "one"} = one, %RequestOutput{prompt: "two"}]} =
             LLM.generate(llm, ["one", %{prompt: "two"}], sampling_params: params)

    assert one.finished
    assert [%Vllm.CompletionOutput{token_ids: [_, _], finish_reason: "length"}] = one.outputs
  end

  test "parameters are a struct, a map or a list, for all or one each", %{llm: llm} do
    each = [%Vllm.SamplingParams{max_tokens: 1}, [max_tokens: 3]]

    for params <- [%Vllm.SamplingParams{max_tokens: 1}, %{max_tokens: 1}, each] do
      assert {:ok, [one, _two]} = LLM.generate(llm, ["a", "b"], [params])
      assert [%{token_ids: [_]}] = one.outputs
    end
  end

  test "what is queued is waited for", %{llm: llm} do
    assert {:ok, [_, _]} = LLM.enqueue(llm, ["a", "b"])
    assert {:ok, [_]} = LLM.enqueue_chat(llm, [%{role: "user", content: "c"}])
    assert {:ok, outputs} = LLM.wait_for_completion(llm)
    assert Enum.map(outputs, & &1.prompt) == ["a", "b", "c"]
    assert LLM.wait_for_completion(llm) == {:ok, []}
  end

  test "its view of the model is a string", %{llm: llm} do
    assert LLM.inspect_model(llm) == {:ok, "FakeForCausalLM(fake)"}
  end

  test "a wrong argument is named and harms nothing", %{llm: llm} do
    assert {:error, %Error{kind: :invalid, message: message}} =
             LLM.generate(llm, "a", sampling_params: [max_tokens: "1"])

    assert message =~ "sampling_params.max_tokens"
    assert {:error, %Error{kind: :invalid}} = LLM.generate(llm, ["a", "b"], [[%{}]])
    assert {:ok, [_]} = LLM.generate(llm, "a")
  end

  test "a caller that is killed takes its batch along", %{llm: llm} do
    caller = spawn(fn -> LLM.generate(llm, ["a", "b"], sampling_params: hanging()) end)
    wait_until(fn -> unfinished(llm) == 2 end)
    Process.exit(caller, :kill)
    assert {:ok, [_]} = LLM.generate(llm, "c")
    assert unfinished(llm) == 0
  end

  test "a deadline ends a batch", %{llm: llm} do
    options = [sampling_params: hanging(), rpc: [timeout: 100]]
    assert {:error, %Error{kind: :timeout}} = LLM.generate(llm, "a", options)
    assert {:ok, [_]} = LLM.generate(llm, "b")
    assert mailbox(self()) == 0
  end

  test "an LLM outlives the process that made it", %{instance: instance} do
    {:ok, llm} = Task.await(Task.async(fn -> LLM.new(instance, "fake") end), :infinity)
    assert {:ok, [_]} = LLM.generate(llm, "a")
    assert LLM.shutdown(llm) == {:ok, nil}
    assert {:error, %Error{kind: kind}} = LLM.generate(llm, "a")
    assert kind in [:engine_dead, :stale_ref]
  end

  test "with link: it ends with its maker", %{instance: instance} do
    {:ok, llm} =
      Task.await(Task.async(fn -> LLM.new(instance, "fake", rpc: [link: true]) end), :infinity)

    wait_until(fn ->
      case LLM.errored(llm) do
        {:ok, dead?} -> dead?
        {:error, %Error{kind: :stale_ref}} -> true
      end
    end)
  end

  test "its death is an event, and every call says so", %{instance: instance} do
    telemetry()
    {:ok, llm} = LLM.new(instance, "fake")
    dying = %{extra_args: %{"fake" => %{"die" => true, "after" => 1}}}
    assert {:error, %Error{kind: :engine_dead}} = LLM.generate(llm, "a", sampling_params: dying)
    assert {:error, %Error{kind: :engine_dead}} = LLM.generate(llm, "a")
    # With its own type, so the reference of the event is that of the object.
    assert_receive {:event, [:vllm, :engine, :down], _, %{ref: ^llm}, _}
    LLM.shutdown(llm)
  end

  describe "progress" do
    setup do: telemetry()

    defp told, do: events([:vllm, :llm, :progress])

    test "is told by telemetry in the calling process", %{llm: llm} do
      assert {:ok, [_, _, _, _]} = LLM.generate(llm, ["a", "b", "c", "d"])
      assert {_, %{done: 4, total: 4}, metadata, caller} = List.last(told())
      assert %{class: "LLM", method: "generate", description: "Processed prompts"} = metadata
      assert caller == self()
    end

    test "is silent on demand", %{llm: llm} do
      assert {:ok, [_]} = LLM.generate(llm, "a", use_tqdm: false)
      assert told() == []
    end

    test "is a bar in a shell", %{llm: llm} do
      Process.put(:iex_server, self())
      output = capture_io(fn -> assert {:ok, [_, _]} = LLM.generate(llm, ["a", "b"]) end)
      assert output =~ "Processed prompts: [####################] 2/2"
      assert String.ends_with?(output, "\n")
    end
  end
end
