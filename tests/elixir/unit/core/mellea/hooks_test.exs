defmodule Vllm.Core.Mellea.HooksTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Mellea.Hooks
  alias Vllm.Error
  alias Vllm.Mellea.{Message, ToolCall}

  @before [:generation_pre_call, :generation_batch_pre_call]
  @later [:generation_post_call, :generation_batch_post_call]

  test "hooks are functions of one argument, by Mellea's names" do
    assert :ok = Hooks.check([])
    assert :ok = Hooks.check(for(name <- @before ++ @later, do: {name, &is_map/1}))

    for odd <- [
          5,
          nil,
          %{},
          [session_reset: &is_map/1],
          [generation_pre_call: 5],
          [generation_pre_call: &Kernel.max/2],
          [{"generation_pre_call", &is_map/1}],
          [:generation_pre_call]
        ] do
      assert {:error, %Error{kind: :invalid} = error} = Hooks.check(odd)
      assert error.message =~ ":generation_pre_call"
      assert error.details["parameter"] == "hooks"
    end

    assert Hooks.names(generation_pre_call: 1, generation_pre_call: 2) == ["generation_pre_call"]
  end

  test "a hook is told what is known under atoms" do
    payload = %{
      "generation_id" => "x",
      "messages" => [%{"role" => "user", "content" => "hi"}],
      "tool_calls" => [%{"name" => "f", "args" => %{"a" => 1}}],
      "outputs" => [%{"value" => "a", "tool_calls" => nil}],
      "model_options" => %{"temperature" => 0},
      "of a later worker" => 1
    }

    {hook, run} = Hooks.run([generation_post_call: & &1], "generation_post_call", payload)
    assert hook == :generation_post_call

    assert run.() == %{
             hook: :generation_post_call,
             generation_id: "x",
             messages: [%Message{role: "user", content: "hi"}],
             tool_calls: [%ToolCall{name: "f", args: %{"a" => 1}}],
             outputs: [%{value: "a", tool_calls: nil}],
             model_options: %{"temperature" => 0}
           }

    {_hook, run} =
      Hooks.run([generation_pre_call: & &1], "generation_pre_call", %{"tool_calls" => true})

    assert run.() == %{hook: :generation_pre_call, tool_calls: true}
  end

  test "a hook before a text changes options, format and tool calls" do
    for hook <- @before do
      assert Hooks.changes([{:ok, :ok}], hook) == {:ok, %{}}

      changes = [model_options: [max_new_tokens: 5, top_k: 1], format: nil, tool_calls: true]

      for given <- [changes, Map.new(changes)] do
        assert Hooks.changes([{:ok, {:modify, given}}], hook) ==
                 {:ok,
                  %{
                    model_options: %{"@@@max_new_tokens@@@" => 5, "top_k" => 1},
                    format: nil,
                    tool_calls: true
                  }}
      end

      for odd <- [
            nil,
            true,
            {:modify, 5},
            {:modify, messages: []},
            {:modify, %{"format" => nil}},
            {:modify, [:format]},
            {:modify, model_options: 5},
            {:modify, model_options: [{5, 5}]},
            {:modify, %Message{content: "x"}}
          ] do
        assert {:error, %Error{kind: :invalid}} = Hooks.changes([{:ok, odd}], hook)
      end
    end
  end

  test "what a hook returns after a text has no effect" do
    for hook <- @later, any <- [:ok, nil, {:modify, format: nil}, "x"] do
      assert Hooks.changes([{:ok, any}], hook) == {:ok, %{}}
    end
  end

  test "every hook may block; one that fails ends the call as well" do
    for hook <- @before ++ @later do
      assert {:error, %Error{kind: :cancelled} = error} =
               Hooks.changes([{:ok, {:block, "too long"}}], hook)

      assert error.message == "#{hook} blocked the call: too long"
      assert error.details == %{"hook" => "#{hook}", "reason" => "too long"}

      assert {:error, %Error{message: message}} = Hooks.changes([{:ok, {:block, {:no, 5}}}], hook)
      assert message =~ "{:no, 5}"
      assert {:error, %Error{kind: :timeout}} = Hooks.changes([{:error, :timeout}], hook)
      assert {:error, %Error{kind: :invalid}} = Hooks.changes([{:error, "raised"}], hook)
    end
  end
end
