defmodule Vllm.MelleaTest do
  # What is refused before any worker is asked.
  use ExUnit.Case, async: true

  alias Vllm.{Error, Mellea, Ref, Tool}
  alias Vllm.Mellea.Backends.LocalVLLMBackend
  alias Vllm.Mellea.{ModelIdentifier, ModelOutputThunk, Requirement, TemplateFormatter, ToolCall}

  @session %Ref{instance: {A, :b}, incarnation: "0", id: "1", type: "MelleaSession"}
  @engine %Ref{instance: {A, :b}, incarnation: "0", id: "1", type: "AsyncLLM"}

  test "a reference of another class is refused, and the class that is wanted is named" do
    for {call, class} <- [
          {fn -> Mellea.instruct(@engine, "x") end, "MelleaSession"},
          {fn -> Mellea.chat(@engine, "x") end, "MelleaSession"},
          {fn -> Mellea.validate(@engine, ["x"]) end, "MelleaSession"},
          {fn -> Mellea.context(@engine) end, "MelleaSession"},
          {fn -> Mellea.start_session(@engine) end, "LocalVLLMBackend"},
          {fn -> LocalVLLMBackend.engine_args(@engine) end, "LocalVLLMBackend"},
          {fn -> ModelOutputThunk.value(@engine) end, "ModelOutputThunk"},
          {fn -> TemplateFormatter.print(@engine, "x") end, "TemplateFormatter"}
        ] do
      assert {:error, %Error{kind: :invalid, message: message}} = call.()
      assert message =~ class
    end
  end

  test "requirements are texts, or have a function of one argument" do
    for odd <- [5, %Requirement{validate: 5}, %Requirement{validate: fn -> true end}] do
      assert {:error, %Error{kind: :invalid, message: message}} =
               Mellea.validate(@session, ["x", odd])

      assert message =~ "requirement 1"

      assert {:error, %Error{kind: :invalid}} =
               Mellea.instruct(@session, "x", requirements: [odd])
    end

    assert {:error, %Error{kind: :invalid}} = Mellea.validate(@session, ["x" | "y"])
  end

  # M-01
  test "a model has a name" do
    for model <- [nil, 5, "", <<255>>, %ModelIdentifier{}, %ModelIdentifier{hf_model_name: 5}],
        do: assert({:error, %Error{kind: :invalid}} = LocalVLLMBackend.new(model))

    assert {:error, %Error{kind: :invalid, message: message}} =
             LocalVLLMBackend.new("x", model_options: %{model: "y"})

    assert message =~ "model"
  end

  # Upstream: test_vllm_tools.py::test_tool (U-68), its second half
  test "a tool call runs the function of its tool" do
    tool = %Tool{name: "get_temperature", run: fn %{"location" => "Boston"} -> 21 end}
    calls = ModelOutputThunk.with_tools(%{"get_temperature" => %{"location" => "Boston"}}, [tool])
    assert ToolCall.call(calls["get_temperature"]) == {:ok, 21}

    assert {:error, %Error{kind: :invalid, message: message}} =
             ToolCall.call(%{calls["get_temperature"] | args: %{}})

    assert message =~ "get_temperature"

    hanging = %Tool{name: "x", run: fn _args -> Process.sleep(:infinity) end}

    assert {:error, %Error{kind: :timeout}} =
             ToolCall.call(%ToolCall{name: "x", tool: hanging}, 0)

    for odd <- [nil, %ToolCall{}, %ToolCall{name: "x", tool: %Tool{name: "x"}}],
        do: assert({:error, %Error{kind: :invalid}} = ToolCall.call(odd))
  end
end
