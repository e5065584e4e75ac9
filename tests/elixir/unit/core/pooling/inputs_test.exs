defmodule Vllm.Core.Pooling.InputsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Pooling.Inputs
  alias Vllm.{Error, SamplingParams, TokensPrompt}

  test "one input is a batch of one" do
    for input <- ["text", "", [1, 2], %{prompt: "x"}, %TokensPrompt{prompt_token_ids: [1]}],
        do: assert(Inputs.normalize(input, "inputs") == {:ok, [input]})
  end

  test "a list is a batch, in its order" do
    inputs = ["text", [1, 2], [], %{prompt: "x"}, %TokensPrompt{prompt_token_ids: [1]}]
    assert Inputs.normalize(inputs, "inputs") == {:ok, inputs}
    assert Inputs.normalize([], "inputs") == {:ok, []}
  end

  test "messages are written as in a chat" do
    assert {:ok, [%{messages: [%{role: "user", content: "Hello"}]}]} =
             Inputs.normalize(%{messages: "Hello"}, "inputs")

    assert {:ok, ["x", %{:add_special_tokens => true, "messages" => [message]}]} =
             Inputs.normalize(
               ["x", %{"messages" => [{:system, "Be brief."}], add_special_tokens: true}],
               "inputs"
             )

    assert message == %{role: :system, content: "Be brief."}
  end

  test "what is no input is refused with its place" do
    for {inputs, place} <- [
          {7, "inputs"},
          {nil, "inputs"},
          {:a, "inputs"},
          {["a" | "b"], "inputs"},
          {["a", 7], "inputs[1]"},
          {["a", nil], "inputs[1]"},
          {["a", ["b"]], "inputs[1]"},
          {["a", {:user, "b"}], "inputs[1]"},
          {["a", %SamplingParams{}], "inputs[1]"},
          {["a", %{messages: 7}], "inputs[1]"},
          {["a", %{messages: [%{role: "user"}, 7]}], "inputs[1]"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} = Inputs.normalize(inputs, "inputs")
      assert String.starts_with?(error.message, place <> ":")
      if place == "inputs[1]", do: assert(error.details["input"] == 1)
    end
  end
end
