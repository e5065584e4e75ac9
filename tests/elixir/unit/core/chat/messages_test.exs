defmodule Vllm.Core.Chat.MessagesTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Chat.Messages
  alias Vllm.{Bytes, ChatChoice, ChatCompletion, ChatMessage, Error, Tool, ToolCall}

  test "a string is a message of the user's" do
    assert Messages.normalize("Hello") == {:ok, [%{role: "user", content: "Hello"}]}
  end

  test "maps, keyword lists and pairs are messages" do
    messages = [
      %{"role" => "user", "content" => "a"},
      [role: "user", content: "b"],
      {:system, "c"}
    ]

    assert Messages.normalize(messages) ==
             {:ok,
              [
                %{"role" => "user", "content" => "a"},
                %{role: "user", content: "b"},
                %{role: :system, content: "c"}
              ]}
  end

  test "the content of a file is sent as bytes, and all else of a part as it is" do
    for {kind, type} <- [{:image, :type}, {"video", "type"}, {"audio", :type}] do
      {data, frames} = if type == "type", do: {"data", "frames"}, else: {:data, :frames}
      parts = [%{type => kind, data => "GIF89a"}, %{type => kind, frames => [<<255>>, :other]}]

      assert Messages.normalize(user: parts) ==
               {:ok,
                [
                  %{
                    role: :user,
                    content: [
                      %{type => kind, data => %Bytes{data: "GIF89a"}},
                      %{type => kind, frames => [%Bytes{data: <<255>>}, :other]}
                    ]
                  }
                ]}
    end

    assert {:ok, [%{content: [%{type: "image", path: "a.png"}]}]} =
             Messages.normalize(user: [[type: "image", path: "a.png"]])

    for content <- [
          [%{type: "text", text: "a", data: "b"}],
          [%{"type" => "image_url", "image_url" => %{"url" => "data:,"}}],
          ["a", 7, {:a, 1}, %Bytes{data: "b"}, []],
          [%{type: "image", data: %Bytes{data: "b"}}],
          [1 | 2],
          []
        ] do
      assert Messages.normalize(user: content) == {:ok, [%{role: :user, content: content}]}
    end
  end

  test "an answer of the model is a message, with its calls and without what it does not have" do
    call = %ToolCall{id: "c1", name: "f", arguments: %{"a" => 1}, arguments_json: ~s({"a": 1})}
    message = %ChatMessage{role: "assistant", reasoning: "why", tool_calls: [call]}

    expected = %{
      role: "assistant",
      reasoning: "why",
      tool_calls: [%{id: "c1", type: "function", function: %{name: "f", arguments: ~s({"a": 1})}}]
    }

    assert Messages.normalize([message]) == {:ok, [expected]}
    completion = %ChatCompletion{choices: [%ChatChoice{message: message}]}
    assert Messages.normalize([completion]) == {:ok, [expected]}

    assert Messages.normalize([%ChatMessage{role: "assistant", content: "x"}]) ==
             {:ok, [%{role: "assistant", content: "x"}]}
  end

  test "what is no message is refused, and the error says which one" do
    for wrong <- [
          7,
          nil,
          :user,
          %Tool{name: "f"},
          ["x"],
          [7],
          {:tool, "x"},
          {:user},
          ~D[2026-01-01]
        ] do
      assert {:error, %Error{kind: :invalid} = error} = Messages.normalize([{:user, "a"}, wrong])
      assert error.message =~ "message 1: wants a map"
      assert error.details == %{"parameter" => "messages"}
    end

    for wrong <- [7, nil, :user, %{role: "user"}, {:user, "a"}] do
      assert {:error, %Error{kind: :invalid} = error} = Messages.normalize(wrong)
      assert error.message =~ "messages: wants a map"
    end
  end

  test "a tool is OpenAI's map, without what it does not have" do
    tool = %Tool{name: "f", parameters: %{type: "object"}, run: & &1}
    other = %{type: "function", function: %{name: "g"}}

    assert Messages.tools([tool, other, 7]) == [
             %{
               type: "function",
               function: %{name: "f", parameters: %{type: "object"}, strict: true}
             },
             other,
             7
           ]
  end
end
