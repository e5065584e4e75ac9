defmodule Vllm.Core.Mellea.WireTest do
  use ExUnit.Case, async: true

  alias Vllm.{Absurd, Bytes, CompletionOutput, Error, Ref, RequestOutput, Tensor, Tool}
  alias Vllm.Core.Mellea.Wire

  alias Vllm.Mellea.{
    ChatContext,
    Component,
    Instruction,
    Message,
    Requirement,
    SimpleContext
  }

  @thunk %Ref{instance: {A, :b}, incarnation: "0", id: "1", type: "ModelOutputThunk"}

  test "components are maps with a type" do
    assert Wire.span(%Message{role: :user, content: "x"}) ==
             %{"type" => "message", "role" => :user, "content" => "x"}

    assert %{"type" => "instruction", "description" => "x", "requirements" => requirements} =
             Wire.span(%Instruction{
               description: "x",
               requirements: ["a", %Requirement{description: "b", validate: &is_binary/1}]
             })

    assert requirements == ["a", %{"description" => "b", "check_only" => false, "asked" => true}]

    inner = %Component{name: "Inner", template: "x"}
    outer = %Component{name: "Outer", args: %{parts: [inner, "b", @thunk], map: %{a: inner}}}
    assert %{"args" => %{parts: [part, "b", @thunk], map: %{a: part}}} = Wire.span(outer)
    assert part == %{"type" => "component", "name" => "Inner", "template" => "x", "args" => %{}}
  end

  test "contexts have turns" do
    assert Wire.context(%ChatContext{turns: ["a", @thunk], window_size: 2}) ==
             %{"type" => "chat", "turns" => ["a", @thunk], "window_size" => 2}

    assert Wire.context(%SimpleContext{turns: ["a"]}) == %{"type" => "simple", "turns" => ["a"]}
  end

  test "an image is the content of a file, a URL, a tensor or a map" do
    tensor = %Tensor{dtype: "uint8", shape: [1, 1, 3], data: <<1, 2, 3>>}

    for {image, sent} <- [
          {"abc", %{"data" => %Bytes{data: "abc"}}},
          {<<255, 216>>, %{"data" => %Bytes{data: <<255, 216>>}}},
          {%Bytes{data: "abc"}, %{"data" => %Bytes{data: "abc"}}},
          {"data:image/png;base64,aa", "data:image/png;base64,aa"},
          {"https://x/a.png", "https://x/a.png"},
          {tensor, %{"tensor" => tensor}},
          {%{data: "abc"}, %{"data" => %Bytes{data: "abc"}}},
          {[path: "a.png"], %{path: "a.png"}},
          {%{"url" => "https://x"}, %{"url" => "https://x"}},
          # The worker refuses these.
          {5, 5},
          {[5], [5]},
          {nil, nil}
        ] do
      assert %{"images" => [^sent]} = Wire.span(%Message{content: "x", images: [image]})
      assert %{"images" => [^sent]} = Wire.span(%Instruction{images: [image]})
    end

    refute Map.has_key?(Wire.span(%Message{content: "x"}), "images")
    assert %{"images" => 5} = Wire.span(%Message{content: "x", images: 5})
  end

  test "of an output only what a thunk takes is sent" do
    completion = %CompletionOutput{index: 0, text: "a", token_ids: [1], finish_reason: "stop"}
    output = %RequestOutput{outputs: [completion], prompt_token_ids: [5], metrics: %{}}

    assert Wire.output(output) == %{
             "outputs" => [
               %{"index" => 0, "text" => "a", "token_ids" => [1], "finish_reason" => "stop"}
             ],
             "prompt_token_ids" => [5]
           }

    assert Wire.output(%RequestOutput{}) == %{"outputs" => []}
    assert Wire.output(5) == 5
  end

  test "a conversation is messages or a text" do
    said = %{"role" => "system", "content" => "x"}
    messages = [%Message{role: :user, content: "hi"}, said]
    assert Wire.conversation(messages) == [%{"role" => :user, "content" => "hi"}, said]
    assert Wire.conversation("hi") == "hi"
  end

  test "tools are sent without their functions" do
    tool = %Tool{name: "f", parameters: %{}, run: fn _args -> 1 end}
    assert Wire.tools([tool]) == Wire.tools(%{"f" => tool})
    assert Wire.tools([tool]) == [%{"name" => "f", "parameters" => %{}}]
  end

  defmodule Schema do
    def json_schema, do: %{"type" => "object"}
  end

  test "a format is a schema or a module that has one" do
    assert Wire.format(Schema) == %{"type" => "object"}
    assert Wire.format(%{"type" => "string"}) == %{"type" => "string"}
    assert Wire.format(nil) == nil
    assert Wire.format(Enum) == Enum
  end

  test "no value makes any of them fail" do
    for value <- Absurd.values() do
      assert match?({:ok, %{}}, Wire.options(value)) or
               match?({:error, %Error{kind: :invalid}}, Wire.options(value))

      for field <- [:turns, :window_size],
          do: Wire.context(struct!(%ChatContext{}, [{field, value}]))

      for field <- Map.keys(Map.from_struct(%Instruction{})),
          do: Wire.span(struct!(%Instruction{}, [{field, value}]))

      for field <- [:name, :args, :template, :template_order, :tools],
          do: Wire.span(struct!(%Component{name: "X"}, [{field, value}]))

      Wire.span(value)
      Wire.context(value)
      Wire.requirements(value)
      Wire.tools(value)
      Wire.format(value)
    end
  end
end
